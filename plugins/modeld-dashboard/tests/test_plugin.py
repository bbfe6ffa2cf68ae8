# SPDX-License-Identifier: GPL-3.0-only
"""The routes, in a real application around a service that answers from a script."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from modeld_dashboard.plugin import DashboardPlugin
from starlette.applications import Starlette
from starlette.routing import Mount

from modeld.events import ModelLoading
from modeld.httpapi.app import ModeldApp
from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, client_of, make_app

POLICY = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none';"
    " object-src 'none'"
)
KEY = "a-key-of-some-length"
WITHOUT_OLLAMA = Settings(block_plugins=("ollama",))
"""For where the root is the dashboard's alone."""
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def get(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    return ask(make_app(FakeService()), method, path, headers=BROWSER | headers)


def get_mounted(app: ModeldApp, path: str) -> httpx.Response:
    """Return the response of an application that a host serves under ``/llm``."""
    host = Starlette(routes=[Mount("/llm", app)])

    async def go() -> httpx.Response:
        async with client_of(host, close=app) as client:
            return await client.get(f"/llm{path}", headers=BROWSER)

    return asyncio.run(go())


@pytest.fixture
def guarded(tmp_path: Path) -> Settings:
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n")
    return Settings(api_key_file=str(file))


def test_the_page_has_exactly_this_policy_and_these_headers() -> None:
    response = get("/ui/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers.get_list("content-security-policy") == [POLICY]
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"


def test_only_the_icon_is_used_again_without_asking() -> None:
    assert get("/ui/icon.svg").headers["cache-control"] == "max-age=86400"
    assert get("/ui/main.js").headers["cache-control"] == "no-cache"


def test_the_page_names_only_files_that_are_here_and_no_script_of_its_own() -> None:
    page = get("/ui/").text
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert {"main.js", "style/page.css", "theme.js", "vendor/uplot.css"} <= set(named)
    for name in named:
        assert get(f"/ui/{name}").status_code == 200, name
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("main.js", "text/javascript; charset=utf-8"),
        ("logic/ndjson.js", "text/javascript; charset=utf-8"),
        ("vendor/preact.js", "text/javascript; charset=utf-8"),
        ("style/page.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("vendor/VERSIONS", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_has_its_media_type(name: str, media_type: str) -> None:
    response = get(f"/ui/{name}")
    assert response.headers["content-type"] == media_type
    assert response.headers["content-security-policy"] == POLICY


@pytest.mark.parametrize("path", ["/ui/", "/ui/main.js"])
def test_a_browser_that_has_a_file_is_not_sent_it_again(path: str) -> None:
    etag = get(path).headers["etag"]
    for header in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = get(path, **{"if-none-match": header})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
    assert get(path, **{"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "nope.js",
        "../plugin.py",
        "..%2fplugin.py",
        "%2e%2e/plugin.py",
        "%2fetc%2fpasswd",
        "vendor",
        "vendor/",
        "a%00b",
        "main.js/",
    ],
)
def test_nothing_else_is_served(name: str) -> None:
    response = get(f"/ui/{name}")
    assert response.status_code == 404
    assert response.json()["reason"] == "not_found"


@pytest.mark.parametrize("path", ["/", "/ui"])
@pytest.mark.parametrize("query", ["", "?mock=1"])
def test_it_is_found_from_the_address_alone(path: str, query: str) -> None:
    response = get(path + query)
    assert response.status_code == 307
    assert response.headers["location"] == f"ui/{query}"


def test_it_works_under_a_prefix() -> None:
    for path in ("/", "/ui"):
        response = get_mounted(make_app(FakeService()), path)
        assert str(response.next_request.url) == "http://testserver/llm/ui/"  # type: ignore[union-attr]
    for path in ("/ui/", "/ui/main.js", "/ui/feed"):
        assert get_mounted(make_app(FakeService()), path).status_code == 200


def test_head_is_answered_too() -> None:
    for path in ("/ui/", "/ui/main.js", "/ui/feed"):
        head, whole = get(path, "HEAD"), get(path)
        assert head.status_code == 200
        assert head.headers["content-type"] == whole.headers["content-type"]
    assert get("/ui", "HEAD").status_code == 307


@pytest.mark.parametrize("path", ["/", "/ui", "/ui/", "/ui/main.js", "/ui/feed"])
def test_nothing_can_be_written(path: str) -> None:
    assert get(path, "POST").status_code == 405


def test_the_pages_need_no_key_and_the_feed_does(guarded: Settings) -> None:
    for path in ("/ui/", "/ui/main.js", "/ui", "/"):
        response = ask(make_app(FakeService(), guarded), "GET", path, headers=BROWSER)
        assert response.status_code in {200, 307}
    refused = ask(make_app(FakeService(), guarded), "GET", "/ui/feed")
    assert (refused.status_code, refused.json()["reason"]) == (401, "unauthorized")
    headers = {"authorization": f"Bearer {KEY}"}
    assert ask(make_app(FakeService(), guarded), "GET", "/ui/feed", headers=headers).is_success


def test_the_pages_do_not_start_the_service() -> None:
    service = FakeService()
    ask(make_app(service), "GET", "/ui/")
    assert "start" not in service.calls


def test_the_feed_tells_what_has_happened_since() -> None:
    app = make_app(FakeService())
    for model in ("a", "b", "c"):
        app.plugins.notify(ModelLoading(model=model))
    response = ask(app, "GET", "/ui/feed?after=1")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    body = response.json()
    assert body["sequence"] == 3
    assert [event["model"] for event in body["events"]] == ["b", "c"]
    assert {"feed", "server_time_unix", "memory"} <= set(body)


@pytest.mark.parametrize("after", ["", "-1", "1.5", "x", "٣", " 1", "9" * 17])
def test_an_invalid_number_is_refused_by_name(after: str) -> None:
    response = ask(make_app(FakeService()), "GET", "/ui/feed", params={"after": after})
    assert response.status_code == 400
    body = response.json()
    assert (body["code"], body["reason"], body["field"]) == (400, "invalid_request", "after")


def test_two_applications_share_nothing() -> None:
    one, other = make_app(FakeService()), make_app(FakeService())
    one.plugins.notify(ModelLoading(model="m"))
    assert len(ask(one, "GET", "/ui/feed").json()["events"]) == 1
    assert ask(other, "GET", "/ui/feed").json()["events"] == []


def test_the_feed_is_described_and_the_pages_are_not() -> None:
    app = make_app(FakeService(), WITHOUT_OLLAMA)
    paths: dict[str, Any] = ask(app, "GET", "/openapi.json").json()["paths"]
    assert "get" in paths["/ui/feed"]
    described = paths["/ui/feed"]["get"]
    assert "dashboard" in described["summary"]
    assert "after" in {parameter.get("name") for parameter in described["parameters"]}
    assert "200" in described["responses"]
    assert not {"/", "/ui", "/ui/{path}"} & set(paths)


def test_without_the_plugin_nothing_of_it_is_there() -> None:
    for path in ("/", "/ui", "/ui/", "/ui/feed"):
        app = make_app(FakeService(), Settings(block_plugins=("dashboard", "ollama")))
        assert ask(app, "GET", path).status_code == 404


def test_each_application_has_a_feed_of_its_own() -> None:
    assert DashboardPlugin().feed is not DashboardPlugin().feed
