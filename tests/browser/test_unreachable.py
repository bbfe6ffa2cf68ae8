# SPDX-License-Identifier: GPL-3.0-only
"""A server that goes away while it is looked at, and comes back."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Start, Visit

pytestmark = pytest.mark.browser


def test_the_overview_says_that_the_server_is_gone_and_goes_on_when_it_is_back(
    visit: Visit, start: Start, rig_folder: Path, tmp_path: Path
) -> None:
    served = start(rig_folder, "--default-model", "a.gguf")
    served.post("/infer", {"prompt": "hello"})
    harness = visit(served).open()
    harness.witness.may_lose_connection()
    expect(harness.of_model("instance-row", "a.gguf")).to_have_attribute("data-state", "ready")

    served.process.kill()
    served.process.wait()
    expect(harness.page.get_by_text("server: unreachable")).to_be_visible()

    config = tmp_path / "modeld.yaml"
    address = urlsplit(served.url).netloc
    config.write_text(f'addr: "{address}"\nmodels_dir: "{rig_folder}"\ndefault_model: a.gguf\n')
    again = start(None, f"--config={config}")
    assert again.url == served.url
    expect(harness.page.get_by_text("server: running")).to_be_visible(timeout=30_000)
    expect(harness.of_model("instance-row", "a.gguf")).to_have_count(0)
    again.post("/infer", {"prompt": "hello"})
    expect(harness.of_model("instance-row", "a.gguf")).to_have_attribute("data-state", "ready")
