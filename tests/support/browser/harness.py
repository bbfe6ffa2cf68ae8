# SPDX-License-Identifier: GPL-3.0-only
"""The dashboard as a person uses it: pages by name, parts by test id."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from playwright.sync_api import Locator, Page, expect

from tests.support.browser.witness import Witness

Mode = Literal["mock", "live"]
PAGES = {
    "overview": "#/",
    "infer": "#/infer",
    "models": "#/models",
    "status": "#/status",
    "health": "#/health",
    "ready": "#/ready",
}
ANSWERED_MS = 60_000.0
"""A real model answers within this, its load included."""

_WATCH_STATUS = """
() => {
  const shown = () => document.querySelector('[data-testid="status"]')?.textContent.trim();
  window.statuses = [shown()];
  new MutationObserver(() => {
    if (shown() !== window.statuses.at(-1)) window.statuses.push(shown());
  }).observe(document.body, {subtree: true, childList: true, characterData: true});
}
"""


class Harness:
    """One tab with the dashboard of the server at ``base``."""

    def __init__(self, page: Page, witness: Witness, base: str, mode: Mode) -> None:
        self.page = page
        self.witness = witness
        self.base = base
        self.mode = mode

    def open(self, name: str = "overview") -> Harness:
        """Load the page from nothing, as by its address."""
        query = "?mock=1" if self.mode == "mock" else ""
        self.page.goto(f"{self.base}/ui/{query}{PAGES[name]}")
        expect(self["mode"]).to_have_text(self.mode)
        return self

    def go(self, name: str) -> None:
        """Follow the link to a page of the dashboard."""
        self[f"nav-{name}"].click()
        expect(self[f"nav-{name}"]).to_have_attribute("aria-current", "page")

    def __getitem__(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    def of_model(self, testid: str, model: str) -> Locator:
        """Return the part that belongs to one model."""
        return self.page.locator(f"[data-testid='{testid}'][data-model={json.dumps(model)}]")

    def ask(self, prompt: str, model: str = "") -> None:
        """Fill the form in and send it."""
        self["prompt-input"].fill(prompt)
        self["model-input"].fill(model)
        self["submit-btn"].click()

    def set(self, field: str, value: str) -> None:
        """Fill one of the settings in, by the name that the API has for it."""
        self.page.get_by_label(re.compile(f"^{field}")).fill(value)

    def script(self, model: str = "", **plan: object) -> None:
        """Ask the rig for what the plan says."""
        self.ask(json.dumps(plan), model)

    def wait_for_status(self, status: str) -> None:
        """Wait until the request is in this state."""
        expect(self["status"]).to_have_text(status, timeout=ANSWERED_MS)

    def generate(self, prompt: str, model: str = "") -> str:
        """Send a prompt, wait for the end, and return the generation."""
        self.ask(prompt, model)
        self.wait_for_status("success")
        return self["generation"].inner_text()

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the lines that came, decoded."""
        return [json.loads(line) for line in self.text("stream-log").splitlines() if line.strip()]

    def text(self, testid: str) -> str:
        """Return what a part says, white space as it is in the document."""
        return self[testid].text_content() or ""

    def milliseconds(self, testid: str) -> float:
        """Return a duration as it is shown."""
        return float(self.text(testid).replace("ms", "").replace(",", "").strip())

    def watch_status(self) -> None:
        """From now on, remember each state that is shown."""
        self.page.evaluate(_WATCH_STATUS)

    def statuses(self) -> list[str]:
        """Return the states that were shown, in order."""
        shown: list[str] = self.page.evaluate("() => window.statuses")
        return shown
