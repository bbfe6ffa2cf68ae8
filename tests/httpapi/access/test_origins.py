# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest

from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService, ask, make_app

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def status_for(host: str, path: str = "/status") -> int:
    app = make_app(FakeService(), trusted_hosts=LOOPBACK)
    return ask(app, "GET", path, headers={"host": host}).status_code


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "LOCALHOST", "localhost.", "127.0.0.1:1", "[::1]", "[::1]:80"],
)
def test_a_trusted_name_is_answered(host: str) -> None:
    assert status_for(host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "notlocalhost",
        "127.0.0.1.evil.example",
        "evil.example#localhost",
        "a@localhost",
        "[::2]",
        "[::1",
        "x/?a=",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/status", "/healthz", "/swagger/index.html", "/nope"])
def test_a_name_that_dns_was_bent_to_is_not(host: str, path: str) -> None:
    assert status_for(host, path) == 403


def test_a_host_application_decides_about_names_itself() -> None:
    response = ask(make_app(FakeService()), "GET", "/status", headers={"host": "any.example"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "path", ["/infer", "/models/refresh", "/models/a/load", "/models/a/unload"]
)
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_or_port_changes_nothing(path: str, site: str) -> None:
    service = FakeService(models=[ModelSpec(id="a", name="a", path="/a")])
    headers = {"sec-fetch-site": site}
    response = ask(make_app(service), "POST", path, json={"prompt": "hi"}, headers=headers)
    assert response.status_code == 403
    assert response.json()["reason"] == "forbidden"
    assert service.requests == []
    assert service.calls == []


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_page_of_this_origin_may(site: str) -> None:
    response = ask(
        make_app(FakeService()),
        "POST",
        "/infer",
        json={"prompt": "hi"},
        headers={"sec-fetch-site": site},
    )
    assert response.status_code == 200


def test_a_link_on_another_site_may_lead_here() -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert ask(make_app(FakeService()), "GET", "/status", headers=headers).status_code == 200


def test_no_other_origin_is_let_in_by_default() -> None:
    response = ask(
        make_app(FakeService()), "GET", "/status", headers={"origin": "http://localhost:3000"}
    )
    assert not [name for name in response.headers if name.startswith("access-control-")]
