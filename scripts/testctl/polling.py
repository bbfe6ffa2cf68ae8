# SPDX-License-Identifier: GPL-3.0-only
"""Waiting for a URL to answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

RESPONSE_TIMEOUT_S = 10.0
"""How long one response may take, at most; less where less is left."""

Ask = Callable[[str, float], str | int]
"""Asks a URL, within so many seconds: the status, or what went wrong."""


@dataclass(frozen=True, kw_only=True)
class Poll:
    """What to wait for, and how long."""

    url: str
    status: int = 200
    timeout_s: float = 30.0
    interval_s: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How the waiting ended: with the status that was wanted, or with the last thing heard."""

    reached: bool
    heard: str | int
    attempts: int
    waited_s: float

    def told(self, poll: Poll) -> str:
        """One line for a person."""
        said = f"status {self.heard}" if isinstance(self.heard, int) else self.heard
        if self.reached:
            return f"{poll.url} answered with {said} after {self.waited_s:.1f} s"
        return (
            f"{poll.url} did not answer with status {poll.status} within {poll.timeout_s:g} s"
            f" ({self.attempts} attempts); the last: {said}"
        )


def is_address(url: str) -> bool:
    """Whether ``url`` can be asked at all."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def ask(url: str, timeout_s: float) -> str | int:
    """Send one GET; redirects are responses too."""
    try:
        with httpx.stream("GET", url, timeout=timeout_s, trust_env=False) as response:
            return response.status_code
    except httpx.TimeoutException:
        return f"no response within {timeout_s:.1f} s"
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__


def wait(
    poll: Poll,
    *,
    ask: Ask = ask,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    gone: Callable[[], str | None] = lambda: None,
) -> Outcome:
    """Ask until the URL answers with the status, or the time is over.

    ``gone`` may say why nothing will ever answer; that ends the waiting at once.
    """
    began_s = now_s()
    attempts = 0
    while True:
        left_s = poll.timeout_s - (now_s() - began_s)
        nobody = gone()
        heard = nobody or ask(poll.url, max(0.001, min(left_s, RESPONSE_TIMEOUT_S)))
        attempts += 1
        waited_s = now_s() - began_s
        reached = heard == poll.status
        over = waited_s + poll.interval_s > poll.timeout_s
        if reached or over or nobody:
            return Outcome(reached=reached, heard=heard, attempts=attempts, waited_s=waited_s)
        sleep(poll.interval_s)
