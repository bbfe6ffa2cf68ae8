# SPDX-License-Identifier: GPL-3.0-only
"""Notes what a person would not see: the console, reports, dialogs and every request."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Request, WebError

# Runs before any script of the page, in each page and frame.
_REPORTER = """
document.addEventListener("securitypolicyviolation", event =>
  witnessReport(`${event.violatedDirective} blocked ${event.blockedURI} at ${event.sourceFile}`));
"""
_REFUSED = re.compile(r"the server responded with a status of (\d+)")


class Witness:
    """Everything that the pages of one browser context did."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.requests: list[str] = []
        """``METHOD URL`` of every request, in order."""
        self._origin = origin
        self._complaints: list[str] = []
        self._may_refuse: set[int] = set()
        self._may_lose_connection = False
        context.expose_function("witnessReport", self._complain)
        context.add_init_script(_REPORTER)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("dialog", self._on_dialog)
        context.on("request", self._on_request)

    def may_be_refused(self, *statuses: int) -> None:
        """Responses with these statuses belong to the test; the console names each of them."""
        self._may_refuse |= set(statuses)

    def may_lose_connection(self) -> None:
        """The server goes away in this test, which the console tells too."""
        self._may_lose_connection = True

    def foreign_requests(self) -> list[str]:
        """Return requests to anywhere but the server that was visited."""
        return [each for each in self.requests if not self._is_own(each.partition(" ")[2])]

    def complaints(self) -> list[str]:
        """Return what must not have happened in any test."""
        return [
            *self._complaints,
            *(f"request to another origin: {each}" for each in self.foreign_requests()),
        ]

    def _is_own(self, url: str) -> bool:
        parts = urlsplit(url)
        return (
            parts.scheme in ("data", "blob") or f"{parts.scheme}://{parts.netloc}" == self._origin
        )

    def _complain(self, report: str) -> None:
        self._complaints.append(f"content security policy: {report}")

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        refused = _REFUSED.search(message.text)
        if refused and int(refused.group(1)) in self._may_refuse:
            return
        if self._may_lose_connection and "net::ERR_" in message.text:
            return
        self._complaints.append(f"console {message.type}: {message.text} ({message.location})")

    def _on_error(self, error: WebError) -> None:
        self._complaints.append(f"page error: {error.error}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self._complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, request: Request) -> None:
        self.requests.append(f"{request.method} {request.url}")
