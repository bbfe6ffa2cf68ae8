# SPDX-License-Identifier: GPL-3.0-only
"""Parses what is to be pulled, as somebody has written it."""

from __future__ import annotations

import re
from typing import Final, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from modeld.errors import InvalidRequestError
from modeld.values import Value
from modeld_pull.names import fault_of_path, is_model, is_repository, is_revision

NEWEST: Final = "main"
"""The revision that a repository has unless another is named."""

_HUB: Final = ("hf.co/", "huggingface.co/")
_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}")


class HubReference(Value, frozen=True, kw_only=True):
    """A model in a repository of the hub.

    ``wanted`` is a file's path, or a quantisation; empty for the model that there is, or the usual
    quantisation of several. With a ``sha256`` it is one file, with this digest.
    """

    repository: str
    wanted: str = ""
    revision: str = NEWEST
    sha256: str = ""

    def __str__(self) -> str:
        named = f"{self.repository}:{self.wanted}" if self.wanted else self.repository
        return named if self.revision == NEWEST else f"{named} at {self.revision}"


class UrlReference(Value, frozen=True, kw_only=True):
    """A file at an address of its own."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """Return the file's name, the last part of the address."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}"  # a query may have a signature in it


Reference: TypeAlias = HubReference | UrlReference


def reference_of(source: str, *, file: str = "", revision: str = "", sha256: str = "") -> Reference:
    """Return what ``REPO[:FILE]`` or a URL names, with what was said beside it.

    Raises:
        InvalidRequestError: it names nothing that can be pulled; ``field`` says which part is why.
    """
    if sha256 and not _SHA256.fullmatch(sha256):
        raise InvalidRequestError("sha256: must have 64 hexadecimal digits", field="sha256")
    if "://" in source:
        return _at_url(source, file, revision, sha256.lower())
    for prefix in _HUB:
        source = source.removeprefix(prefix)
    repository, _, named = source.partition(":")
    if not is_repository(repository):
        raise InvalidRequestError(
            "source: must be OWNER/NAME, OWNER/NAME:FILE or an http(s) URL", field="source"
        )
    if named and file:
        raise InvalidRequestError("file: the source names one already; leave one out", field="file")
    wanted = file or named
    if is_model(wanted) and (fault := fault_of_path(wanted)):
        raise InvalidRequestError(f"file: {fault}", field="file")
    if not wanted.isprintable():
        raise InvalidRequestError("file: must be a file's path or a quantisation", field="file")
    if revision and not is_revision(revision):
        raise InvalidRequestError("revision: must be a branch, a tag or a commit", field="revision")
    return HubReference(
        repository=repository,
        wanted=wanted,
        revision=revision or NEWEST,
        sha256=sha256.lower(),
    )


def _at_url(source: str, file: str, revision: str, sha256: str) -> UrlReference:
    for name, value in (("file", file), ("revision", revision)):
        if value:
            raise InvalidRequestError(f"{name}: a URL names the file itself", field=name)
    if not sha256:
        raise InvalidRequestError(
            "sha256: a file at a URL needs its SHA-256, or nobody knows whether its bytes are the"
            " right ones",
            field="sha256",
        )
    if fault := fault_of_url(source):
        raise InvalidRequestError(f"source: {fault}", field="source")
    reference = UrlReference(url=source, sha256=sha256)
    fault = fault_of_path(reference.name)
    if fault is None and "/" in reference.name:
        fault = "it leads into another folder"
    if fault:
        raise InvalidRequestError(
            f"source: its last part must be the name of a GGUF file, but {fault}", field="source"
        )
    return reference


def fault_of_url(url: str) -> str | None:
    """Return why a text is no URL that can be asked for, if it is none."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "a URL has printable ASCII characters only; write others with %"
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return "it is no http(s) URL"
    if "@" in parts.netloc:
        return "a key or password does not belong into a URL"
    if parts.fragment:
        return "it has a fragment, which is nothing to a server"
    return None


def is_below(url: str, beginning: str) -> bool:
    """Return whether a URL is at the host of another and in the folder that it names."""
    inner, outer = _split(url), _split(beginning)
    if inner is None or outer is None or _origin(inner) != _origin(outer):
        return False
    if {".", ".."} & set(unquote(inner.path).split("/")):
        return False
    folder = outer.path if outer.path.endswith("/") else f"{outer.path}/"
    return inner.path.startswith(folder)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
