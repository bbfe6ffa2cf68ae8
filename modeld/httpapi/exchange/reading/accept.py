# SPDX-License-Identifier: GPL-3.0-only
"""Chooses the formatter that writes a response, by the request's ``Accept`` header."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from modeld.errors import ConfigurationError, NotAcceptableError
from modeld.interfaces import OutputFormatter

STREAMING_DEFAULT = "application/x-ndjson"
WHOLE_DEFAULT = "application/json"

_Range = tuple[str, float]


MAX_RANGES = 100
"""How many media types a client may accept."""

_REMEMBERED = 64
_LONGEST_REMEMBERED = 256
"""How many ``Accept`` headers a process remembers, and how long ones: clients have few."""


class Formatters:
    """The installed formatters, the defaults first.

    Raises:
        ConfigurationError: there is none.
    """

    def __init__(self, formatters: Iterable[OutputFormatter]) -> None:
        self._formatters = sorted(
            formatters,
            key=lambda f: (f.media_type != STREAMING_DEFAULT, f.media_type != WHOLE_DEFAULT),
        )
        if not self._formatters:
            raise ConfigurationError(
                "no output formatter is installed; take ndjson out of block_plugins",
                field="block_plugins",
            )
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._chosen)

    @property
    def media_types(self) -> tuple[str, ...]:
        """Return what can be written, without repetition, the default first."""
        return tuple(dict.fromkeys(f.media_type for f in self._formatters))

    def choose(self, accept: str, *, stream: bool) -> OutputFormatter:
        """Return the formatter that the client likes best; one that it names goes before others.

        With ``stream`` false it is one that does not stream, where there is any.

        Raises:
            NotAcceptableError: none writes anything that the client accepts.
        """
        if accept.count(",") >= MAX_RANGES:
            raise NotAcceptableError(f"the Accept header names more than {MAX_RANGES} media types")
        short = len(accept) <= _LONGEST_REMEMBERED
        return (self._remembered if short else self._chosen)(accept, stream=stream)

    def _chosen(self, accept: str, *, stream: bool) -> OutputFormatter:
        ranges = _parse(accept) or [("*/*", 1.0)]
        liked = [f for f in self._formatters if _liking(f.media_type, ranges)[0] > 0]
        if not liked:
            raise NotAcceptableError(
                f"none of the accepted media types can be written;"
                f" accept one of {', '.join(self.media_types)}"
            )
        if not stream:
            whole = [f for f in self._formatters if not f.streams]
            liked = [f for f in liked if not f.streams] or whole or liked
        return max(liked, key=lambda f: _liking(f.media_type, ranges))


def names(accept: str, media_type: str) -> bool:
    """Return whether an ``Accept`` header has this media type itself, and no wildcard for it.

    One that is too long to be looked through has none.
    """
    if accept.count(",") >= MAX_RANGES:
        return False
    return any(name == media_type and quality > 0 for name, quality in _parse(accept))


def _parse(accept: str) -> list[_Range]:
    """Return the media ranges with their quality; what cannot be read is left out."""
    ranges = []
    for part in accept.lower().split(","):
        media_range, *parameters = [piece.strip() for piece in part.split(";")]
        if "/" in media_range:
            ranges.append((media_range, _quality(parameters)))
    return ranges


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return min(max(quality, 0.0), 1.0) if math.isfinite(quality) else 0.0
    return 1.0


def _liking(media_type: str, ranges: Iterable[_Range]) -> tuple[float, int]:
    """Return how much a client likes a media type: its quality, then how precisely it was named."""
    major = media_type.partition("/")[0]
    precision = {media_type: 2, f"{major}/*": 1, "*/*": 0}
    best = max(
        ((precision[name], quality) for name, quality in ranges if name in precision),
        default=(0, 0.0),
    )
    return best[1], best[0]
