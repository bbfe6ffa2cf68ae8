# SPDX-License-Identifier: GPL-3.0-only
"""The playground offers what the server says that requests can have, a backend's own too."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.http.served import Served

pytestmark = pytest.mark.browser


def test_a_field_that_only_a_backend_knows_is_offered_under_its_name_and_sent(
    visit: Visit, rig: Served
) -> None:
    harness = visit(rig).open("infer")
    harness.page.get_by_text("Of rig", exact=True).click()
    harness.page.get_by_label("rig_case").select_option("upper")
    harness.set("rig_repeats", "2")
    assert harness.generate("one two").strip() == "ONE ONE TWO TWO"
    harness.page.get_by_label("rig_case").select_option("default")
    harness.set("rig_repeats", "")
    assert harness.generate("one two").strip() == "one two"


def test_a_field_has_the_range_and_the_meaning_that_the_server_says(
    visit: Visit, rig: Served
) -> None:
    harness = visit(rig).open("infer")
    harness.page.get_by_text("Of llama-cpp", exact=True).click()
    mirostat = harness.page.locator("[aria-describedby=hint-mirostat]")
    expect(mirostat).to_have_attribute("max", "2")
    expect(mirostat).to_have_accessible_description(
        "1 or 2: that version of Mirostat in place of the filters"
    )
