# SPDX-License-Identifier: GPL-3.0-only
"""Metrics of many processes in one document."""

from __future__ import annotations

import asyncio

import httpx
from modeld_ray.exposition import OF_INGRESS, ClusterMetrics, Exposed, exposition_of
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

OWN = """\
# HELP modeld_http_requests_total HTTP requests answered.
# TYPE modeld_http_requests_total counter
modeld_http_requests_total{path="/infer"} 2.0
# HELP modeld_loads_total Loads.
# TYPE modeld_loads_total counter
modeld_loads_total 9.0
"""
HOST = """\
# HELP modeld_loads_total Loads.
# TYPE modeld_loads_total counter
modeld_loads_total 3.0
"""


async def _gather(own: str) -> list[Exposed]:
    hosts = [Exposed(text=HOST, labels={"host": host, "node": "n"}) for host in "ab"]
    return [Exposed(text=own, labels={"ingress": "i"}, only=OF_INGRESS), *hosts]


async def metrics(request: Request) -> PlainTextResponse:
    if request.headers.get("authorization") != "Bearer key":
        return PlainTextResponse("no", status_code=401)
    return PlainTextResponse(OWN)


async def other(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.headers.get("accept", ""))


def got(path: str, accept: str = "text/plain", key: str = "key") -> httpx.Response:
    app = Starlette(
        routes=[Route("/metrics", metrics), Route("/other", other)],
        middleware=[Middleware(ClusterMetrics, gather=_gather)],
    )

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            headers = {"accept": accept, "authorization": f"Bearer {key}"}
            return await client.get(path, headers=headers)

    return asyncio.run(main())


def test_every_sample_says_whose_it_is():
    found = got("/metrics")
    assert 'modeld_http_requests_total{ingress="i",path="/infer"} 2.0' in found.text
    for host in "ab":
        assert f'modeld_loads_total{{host="{host}",node="n"}} 3.0' in found.text
    assert "9.0" not in found.text  # what hosts count is not counted by the ingress too
    assert found.text.count("# TYPE modeld_loads_total") == 1


def test_the_format_is_what_the_scraper_accepts():
    found = got("/metrics", "application/openmetrics-text; version=1.0.0")
    assert found.headers["content-type"].startswith("application/openmetrics-text")
    assert found.text.endswith("# EOF\n")


def test_who_has_no_key_sees_no_metrics():
    found = got("/metrics", key="wrong")
    assert (found.status_code, found.text) == (401, "no")


def test_other_routes_are_left_alone():
    assert got("/other", "image/png").text == "image/png"


def test_an_application_without_metrics_has_none():
    assert asyncio.run(exposition_of(Starlette())) == ""
