# SPDX-License-Identifier: GPL-3.0-only
"""The static files of the pages, read once, with the headers that browsers need."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

POLICY = (
    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none';"
    " object-src 'none'"
)
"""Nothing comes from elsewhere, and nothing is written into the page as script or style."""

# Not from the machine's tables, which know scripts under several names: with nosniff, a module of
# another type is not run.
_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_OTHER_TYPE = "text/plain; charset=utf-8"


class Page(NamedTuple):
    """One file as it is served."""

    content: bytes
    headers: Mapping[str, str]


def read_pages() -> Mapping[str, Page]:
    """Return all files by their address below ``/ui/``; the empty address is the page itself.

    Only what is in this table is ever served, so no address leads to any other file.
    """
    pages = dict(_below(files("modeld_dashboard").joinpath("static"), ""))
    return {**pages, "": pages["index.html"]}


def is_known(etag: str, if_none_match: str) -> bool:
    """Return whether a browser that sends ``if_none_match`` has this version already."""
    offered = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in offered or "*" in offered


def _below(folder: Traversable, prefix: str) -> list[tuple[str, Page]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _below(entry, f"{prefix}{entry.name}/")
        else:
            found.append((prefix + entry.name, _page(entry.name, entry.read_bytes())))
    return found


def _page(name: str, content: bytes) -> Page:
    suffix = name[name.rfind(".") :]
    headers = {
        "Content-Type": _TYPES.get(suffix, _OTHER_TYPE),
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        # Names stay the same from version to version: each use asks whether the file is new.
        # Browsers want the icon again on each change of page; an old one does no harm.
        "Cache-Control": "max-age=86400" if suffix == ".svg" else "no-cache",
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
    }
    return Page(content, headers)
