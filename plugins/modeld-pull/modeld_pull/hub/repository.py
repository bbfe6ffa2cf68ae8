# SPDX-License-Identifier: GPL-3.0-only
"""The hub: which files a repository has, and where each of them is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

import msgspec
from yarl import URL

from modeld.errors import ConfigurationError
from modeld.values import Value
from modeld_pull.digest import Digest
from modeld_pull.errors import PullUnusableError
from modeld_pull.http.client import Opened, PullClient
from modeld_pull.hub.choice import RemoteFile
from modeld_pull.reference import HubReference, fault_of_url

HUGGING_FACE: Final = "https://huggingface.co"
VARIABLE: Final = "HF_ENDPOINT"

MOST_PAGES: Final = 50
LONGEST_PAGE: Final = 8 << 20

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHA1: Final = re.compile(r"[0-9a-f]{40}")


class _Lfs(Value, frozen=True, kw_only=True):
    oid: str
    size: int


class _Entry(Value, frozen=True, kw_only=True):
    """One row of the hub's list of a repository's files."""

    type: str
    path: str
    size: int = 0
    oid: str = ""
    lfs: _Lfs | None = None


def endpoint_of(setting: str, environ: Mapping[str, str]) -> str:
    """Return the address of the hub.

    Raises:
        ConfigurationError: it is none.
    """
    where, given = "pull.endpoint", setting
    if not given:
        where, given = VARIABLE, environ.get(VARIABLE, "").strip()
    if not given:
        return HUGGING_FACE
    if fault := fault_of_url(given):
        raise ConfigurationError(f"{where}: {fault}", field="endpoint")
    return given.rstrip("/")


class Hub:
    """The hub at an address."""

    def __init__(self, endpoint: str, client: PullClient) -> None:
        self._endpoint = endpoint
        self._client = client

    async def files(self, reference: HubReference) -> Sequence[RemoteFile]:
        """Return all files of a repository.

        Raises:
            ModeldError: it has no such repository, or sends something else than a list.
        """
        revision = quote(reference.revision, safe="")
        url = f"{self._endpoint}/api/models/{reference.repository}/tree/{revision}?recursive=1"
        files: list[RemoteFile] = []
        for _ in range(MOST_PAGES):
            async with self._client.get(url) as opened:
                rows = await self._rows(opened)
                following = self._following(opened)
            files += [file for row in rows if (file := _file(row)) is not None]
            if following is None:
                return files
            url = following
        raise PullUnusableError(f"{self._endpoint} lists more than {MOST_PAGES} pages of files")

    def url_of(self, reference: HubReference, file: RemoteFile) -> str:
        """Return where a file of a repository is."""
        revision, path = quote(reference.revision, safe=""), quote(file.path)
        return f"{self._endpoint}/{reference.repository}/resolve/{revision}/{path}"

    async def _rows(self, opened: Opened) -> list[_Entry]:
        body = bytearray()
        async for piece in self._client.pieces(opened):
            body += piece
            if len(body) > LONGEST_PAGE:
                raise PullUnusableError(f"{self._endpoint} sends a list that is too long")
        try:
            return msgspec.json.decode(body, type=list[_Entry])
        except msgspec.DecodeError as exc:
            raise PullUnusableError(
                f"{self._endpoint} sends no list of files; is it the address of a hub?"
            ) from exc

    def _following(self, opened: Opened) -> str | None:
        """Return where the next page of a list is, if there is one.

        Raises:
            PullUnusableError: not at the hub.
        """
        try:
            link = opened.response.links.get("next")
            if link is None:
                return None
            url = URL(link["url"])
            is_own = url.origin() == URL(self._endpoint).origin()
        except ValueError as exc:
            raise PullUnusableError(
                f"{self._endpoint} leads to what is no address for its list of files"
            ) from exc
        if not is_own:
            raise PullUnusableError(f"{self._endpoint} leads to {url.host} for its list of files")
        return str(url)


def _file(row: _Entry) -> RemoteFile | None:
    """Return a row as a file; ``None`` for folders, and for what cannot be verified."""
    if row.type != "file":
        return None
    if row.lfs is not None and _SHA256.fullmatch(row.lfs.oid):
        digest = Digest(algorithm="sha256", hex=row.lfs.oid)
        return RemoteFile(path=row.path, size_bytes=row.lfs.size, digest=digest)
    if row.lfs is None and _SHA1.fullmatch(row.oid):
        digest = Digest(algorithm="git-blob", hex=row.oid, size_bytes=row.size)
        return RemoteFile(path=row.path, size_bytes=row.size, digest=digest)
    return None
