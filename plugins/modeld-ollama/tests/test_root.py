# SPDX-License-Identifier: GPL-3.0-only
"""What clients find at the root: Ollama's word, also beside a page for browsers."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from modeld.errors import ConfigurationError
from modeld.interfaces import PublicRoute
from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, make_app

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
PROGRAMS = [
    {},
    {"accept": "*/*"},
    {"accept": "application/json"},
    {"accept": "text/html;q=0"},
    {"accept": "text/html" + ",a/b" * 100},
]
"""What curl and Ollama's clients send, and what no browser does."""

ALONE = Settings(block_plugins=("dashboard",))


async def page(_request: Request) -> Response:
    return PlainTextResponse("a page")


def app(path: str = "/", settings: Settings = ALONE, *, public: bool = True):
    route = Route(path, page, methods=["GET"])
    return make_app(FakeService(), settings, routes=[PublicRoute(route) if public else route])


@pytest.mark.parametrize("headers", [*PROGRAMS, {"accept": CHROME}])
def test_alone_it_says_to_everybody_that_it_runs(headers):
    response = ask(make_app(FakeService(), ALONE), "GET", "/", headers=headers)
    assert (response.status_code, response.text) == (200, "Ollama is running")
    assert response.headers["content-type"] == "text/plain"
    assert ask(make_app(FakeService(), ALONE), "HEAD", "/", headers=headers).status_code == 200


@pytest.mark.parametrize("headers", PROGRAMS)
def test_beside_a_page_programs_get_the_word(headers):
    assert ask(app(), "GET", "/", headers=headers).text == "Ollama is running"
    assert ask(app(), "HEAD", "/", headers=headers).status_code == 200


def test_beside_a_page_browsers_get_the_page():
    assert ask(app(), "GET", "/", headers={"accept": CHROME}).text == "a page"


@pytest.mark.parametrize("accept", ["*/*", CHROME])
def test_beside_a_page_there_are_the_same_methods(accept):
    response = ask(app(), "POST", "/", headers={"accept": accept})
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


def test_a_key_is_needed_for_the_word_and_not_for_the_page(tmp_path):
    (tmp_path / "keys").write_text("a-key-of-some-length\n")
    guarded = Settings(api_key_file=str(tmp_path / "keys"), block_plugins=("dashboard",))
    assert ask(app(settings=guarded), "GET", "/", headers={"accept": CHROME}).text == "a page"
    refused = ask(app(settings=guarded), "GET", "/")
    assert (refused.status_code, set(refused.json())) == (401, {"error"})


def test_any_other_address_of_the_dialect_and_what_needs_a_key_is_refused_to_plugins():
    for taken in (lambda: app("/api/tags"), lambda: app(public=False)):
        with pytest.raises(ConfigurationError, match="modeld's own"):
            taken()
