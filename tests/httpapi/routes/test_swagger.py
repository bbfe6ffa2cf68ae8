# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest

import modeld.httpapi
from tests.support.http.fake_service import FakeService, ask, client_of, make_app

FOLDER = Path(modeld.httpapi.__file__).parent / "static" / "swagger"


def test_the_page_and_all_that_it_names_are_served_from_here() -> None:
    app = make_app(FakeService())

    async def go() -> None:
        async with client_of(app) as client:
            page = await client.get("/swagger/index.html")
            assert page.headers["content-type"].startswith("text/html")
            named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
            assert {"swagger-ui.css", "swagger-ui-bundle.js", "init.js"} <= set(named)
            for name in named:
                assert "//" not in name
                if not name.startswith("data:"):
                    assert (await client.get(f"/swagger/{name}")).status_code == 200
            init = (await client.get("/swagger/init.js")).text
            assert 'url: "doc.json"' in init
            assert (await client.get("/swagger/")).text == page.text

    asyncio.run(go())


def test_the_page_has_no_script_of_its_own_and_a_strict_policy() -> None:
    page = ask(make_app(FakeService()), "GET", "/swagger/index.html")
    assert not re.search(r"<script(?![^>]*\bsrc=)", page.text)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["nope.js", "../openapi.py", "..%2f..%2fopenapi.py", "%2fetc%2fpasswd", "a%00b", "VERSION/x"],
)
def test_nothing_else_is_served(path: str) -> None:
    response = ask(make_app(FakeService()), "GET", f"/swagger/{path}")
    assert response.status_code == 404
    assert response.json()["reason"] == "not_found"


@pytest.mark.parametrize("range_", ["bytes=0-3", "bytes=9999999-", "lines=1", "bytes=x"])
def test_a_file_is_sent_as_a_whole_whatever_part_is_asked_for(range_: str) -> None:
    app = make_app(FakeService())
    response = ask(app, "GET", "/swagger/init.js", headers={"range": range_})
    assert (response.status_code, response.content) == (200, (FOLDER / "init.js").read_bytes())
    assert "accept-ranges" not in response.headers


def test_a_copy_at_hand_is_not_sent_again() -> None:
    app = make_app(FakeService())
    tag = ask(app, "GET", "/swagger/init.js").headers["etag"]
    again = ask(app, "GET", "/swagger/init.js", headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


def test_thousands_of_ranges_cost_no_time() -> None:
    headers = {"range": "bytes=" + ",".join("0-" for _ in range(5000))}
    begun_s = time.perf_counter()
    response = ask(make_app(FakeService()), "GET", "/swagger/swagger-ui-bundle.js", headers=headers)
    assert response.status_code == 200
    assert time.perf_counter() - begun_s < 5


def test_the_vendored_files_come_with_their_version_and_licences() -> None:
    assert re.fullmatch(r"swagger-ui-dist \d+\.\d+\.\d+\n", (FOLDER / "VERSION").read_text())
    assert "Apache License" in (FOLDER / "LICENSE").read_text()
    assert "SmartBear" in (FOLDER / "NOTICE").read_text()
