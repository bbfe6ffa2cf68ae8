# SPDX-License-Identifier: GPL-3.0-only
"""Reads how long another server asks to be left alone (``Retry-After``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a response's ``Retry-After`` says to wait, if it says so.

    ``headers`` are looked up by that name as it is written here. It has seconds or a date (RFC
    9110, 10.2.3); what is over counts as 0, and what can be read as neither as not said. ``now`` is
    the time that a date is compared with.
    """
    given = headers.get("Retry-After")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            date = parsedate_to_datetime(given)
        except ValueError:
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = (date - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
