# SPDX-License-Identifier: GPL-3.0-only
"""Swagger UI in a browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.http.served import Served

pytestmark = pytest.mark.browser

VERBS = {"get", "head", "post", "put", "delete"}


def test_it_lists_every_operation(visit: Visit, rig: Served) -> None:
    harness = visit(rig)
    harness.page.goto(f"{rig.url}/swagger/index.html")
    document = rig.get("/swagger/doc.json").json()
    operations = {
        (verb.upper(), path)
        for path, item in document["paths"].items()
        for verb in item
        if verb in VERBS
    }
    blocks = harness.page.locator(".opblock")
    expect(blocks).to_have_count(len(operations))
    methods = blocks.locator(".opblock-summary-method").all_inner_texts()
    paths = blocks.locator(".opblock-summary-path").evaluate_all(
        "all => all.map(each => each.dataset.path)"
    )
    assert set(zip(methods, paths, strict=True)) == operations
    assert harness.page.locator(".errors-wrapper").count() == 0


def test_an_operation_can_be_tried_out(visit: Visit, rig: Served) -> None:
    harness = visit(rig)
    harness.page.goto(f"{rig.url}/swagger/index.html")
    path = harness.page.locator("[data-path='/healthz']")
    block = harness.page.locator(".opblock-get", has=path)
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    response = block.locator(".live-responses-table .response-col_status").last
    expect(response).to_contain_text("200")
    expect(block.locator(".live-responses-table")).to_contain_text("ok")
