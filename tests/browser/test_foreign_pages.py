# SPDX-License-Identifier: GPL-3.0-only
"""A page of somebody else, in the browser of somebody who may use the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Start
from tests.support.browser.fronts import foreign_site
from tests.support.http.served import Served

pytestmark = pytest.mark.browser

# What a page may send without being asked first: no JSON, no headers of its own.
_POST = """
async url => {
  const options = {method: "POST", mode: "no-cors", body: '{"prompt": "hello"}'};
  await fetch(url, options);
}
"""
_FORM = """
url => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = url;
  document.body.append(form);
  form.submit();
}
"""
_READ = """
url => fetch(url).then(response => response.text(), error => String(error))
"""
_FRAME = """
url => new Promise(resolve => {
  const frame = document.createElement("iframe");
  frame.onload = () => resolve();
  frame.src = url;
  document.body.append(frame);
})
"""


@pytest.fixture
def served(start: Start, rig_folder: object) -> Served:
    served: Served = start(rig_folder, "--default-model", "a.gguf")
    return served


@pytest.fixture(params=["another port", "another name"])
def foreign(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Page]:
    """Yield a page elsewhere: a browser takes another port for the same site, another name not."""
    with foreign_site() as port:
        host = "127.0.0.1" if request.param == "another port" else "localhost"
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(f"http://{host}:{port}/")
            yield page


@pytest.mark.parametrize("path", ["/infer", "/models/a.gguf/load", "/models/refresh"])
def test_it_can_send_nothing_that_changes_anything(
    served: Served, foreign: Page, path: str
) -> None:
    with foreign.expect_response(served.url + path) as response:
        foreign.evaluate(_POST, served.url + path)
    assert response.value.status == 403
    assert served.status()["loads_total"] == 0


def test_its_forms_are_refused(served: Served, foreign: Page) -> None:
    with foreign.expect_navigation() as navigation:
        foreign.evaluate(_FORM, f"{served.url}/models/a.gguf/load")
    assert navigation.value is not None
    assert navigation.value.status == 403
    assert served.status()["loads_total"] == 0


def test_it_can_read_nothing(served: Served, foreign: Page) -> None:
    for path in ("/status", "/models", "/ui/feed", "/ui/"):
        assert foreign.evaluate(_READ, served.url + path) == "TypeError: Failed to fetch"


def test_it_cannot_show_the_dashboard_in_a_frame(served: Served, foreign: Page) -> None:
    foreign.evaluate(_FRAME, f"{served.url}/ui/")
    [frame] = foreign.frames[1:]
    assert frame.get_by_test_id("mode").count() == 0
    assert frame.url.startswith("chrome-error:")


_GENERATE = """
async url => {
  const options = {
    method: "POST",
    headers: {"Content-Type": "application/json", "X-Stainless-OS": "Linux"},
    body: '{"prompt": "hello", "max_tokens": 2, "stream": false}',
  };
  const response = await fetch(url, options);
  const body = await response.json();
  return [response.status, response.headers.get("x-request-id") !== null, body.done];
}
"""


@pytest.mark.parametrize("setting", ["--cors-origins", "--cors-loopback"])
def test_one_that_is_allowed_generates_and_reads(
    start: Start, rig_folder: object, browser: Browser, setting: str
) -> None:
    with foreign_site() as port, browser.new_context() as context:
        origin = f"http://localhost:{port}"
        names = [origin] if setting == "--cors-origins" else []
        served = start(rig_folder, "--default-model", "a.gguf", setting, *names)
        page = context.new_page()
        page.goto(f"{origin}/")
        assert page.evaluate(_GENERATE, f"{served.url}/infer") == [200, True, True]
        assert "<html" in page.evaluate(_READ, f"{served.url}/ui/")
