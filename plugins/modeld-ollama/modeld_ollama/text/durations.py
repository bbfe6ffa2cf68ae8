# SPDX-License-Identifier: GPL-3.0-only
"""How long a model stays in memory: seconds, or a duration as Go writes one."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from modeld.dialects.body import KeepAlive

_UNITS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_NUMBER = r"(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
_PART = re.compile(rf"({_NUMBER})(ns|us|µs|μs|ms|s|m|h)")
_DURATION = re.compile(rf"([+-]?)((?:{_PART.pattern}){{1,8}}|{_NUMBER})")
_SCHEMA: Final = {"anyOf": [{"type": "number"}, {"type": "string", "minLength": 1}]}


def seconds_of(text: str) -> float | None:
    """Return the seconds of a duration like ``1h30m``, or of a number; ``None`` for other texts."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    sign, amount = found[1], found[2]
    parts = _PART.findall(amount)
    seconds = (
        sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else float(amount)
    )
    return -seconds if sign == "-" else seconds


def _read(given: Any) -> Any:
    """Return what a client has sent as ``keep_alive_s`` has it."""
    seconds = given
    if isinstance(given, bool | str):
        seconds = seconds_of(given) if isinstance(given, str) else None
        if seconds is None:
            raise PydanticCustomError(
                "duration", "must be a number of seconds, or a duration like 5m or 1h30m"
            )
    return "forever" if isinstance(seconds, int | float) and seconds < 0 else seconds


KeepAliveTime = Annotated[KeepAlive, BeforeValidator(_read), WithJsonSchema(_SCHEMA)]
"""Seconds or a duration; below zero for ever."""
