# SPDX-License-Identifier: GPL-3.0-only
"""Which errors the HTTP statuses of a source mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modeld.errors import ModeldError
from modeld.retry_after import retry_after_s
from modeld_pull.errors import (
    PullDeniedError,
    PullFailedError,
    PullNotFoundError,
    PullUnusableError,
)

RANGE: Final = 416
"""What the source says where there is nothing behind the bytes that a part has."""

_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_GATED: Final = "GatedRepo"
_UNKNOWN: Final[Mapping[str, str]] = {
    "RepoNotFound": "has no such repository, or hides it from this token",
    "RevisionNotFound": "has no such revision of the repository",
    "EntryNotFound": "has no such file in the repository",
}
"""The hub's own words for what it does not find, in its header ``X-Error-Code``."""


def refusal_of(host: str, status: int, headers: Mapping[str, str]) -> ModeldError:
    """Return the error that a response of a source is."""
    code = headers.get("X-Error-Code", "")
    if code == _GATED:
        return PullDeniedError(
            f"{host} gives this repository only to accounts that have accepted its terms: accept"
            " them on its page, and set HF_TOKEN to the token of that account"
        )
    if code in _UNKNOWN:
        return PullNotFoundError(f"{host} {_UNKNOWN[code]}", field="source")
    if status in {401, 403, 407}:
        # Without a token, the hub does not tell what is private from what is not there.
        return PullDeniedError(
            f"{host} gives this to nobody without the right token ({status}), or there is no such"
            " repository: check its name, and set HF_TOKEN if it is private"
        )
    if status in {404, 410}:
        return PullNotFoundError(f"{host} has nothing at this address ({status})", field="source")
    if status in _AGAIN:
        return PullFailedError(
            f"{host} is not able to serve this now ({status})",
            retry_after_s=retry_after_s(headers),
        )
    return PullUnusableError(f"{host} responds with status {status}")
