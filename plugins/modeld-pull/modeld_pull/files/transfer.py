# SPDX-License-Identifier: GPL-3.0-only
"""Brings one file: resumes it, verifies it, and moves it to its path in one step."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

from aiohttp import ClientResponse

from modeld.values import Value
from modeld_pull.digest import Digest
from modeld_pull.errors import PullConflictError, PullFailedError, PullUnusableError
from modeld_pull.files.folder import Folder
from modeld_pull.files.part import MAGIC, Part, opened_part
from modeld_pull.http.client import Opened, PullClient
from modeld_pull.http.refusals import RANGE
from modeld_pull.http.tries import Tries
from modeld_pull.progress import Meter

CHECK_SPACE_BYTES: Final = 64 << 20
"""After how many bytes the space on the disk is looked at again: others fill it too."""

_BLOCK_BYTES: Final = 1 << 20
_RANGE: Final = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)")

Sleep = Callable[[float], Awaitable[object]]

log = logging.getLogger("modeld.pull")


class Wanted(Value, frozen=True, kw_only=True):
    """A file that is to be brought: from where, to which name, and what it must be.

    ``size_bytes`` is ``None`` where only the source knows it.
    """

    url: str
    name: str
    digest: Digest
    size_bytes: int | None = None


class Transfer:
    """Brings one file into a folder. A transfer is for one use."""

    def __init__(
        self,
        wanted: Wanted,
        folder: Folder,
        client: PullClient,
        meter: Meter,
        *,
        retries: int,
        keep_free_bytes: int,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._wanted = wanted
        self._folder = folder
        self._client = client
        self._meter = meter
        self._tries = Tries(retries)
        self._keep_free_bytes = keep_free_bytes
        self._sleep = sleep
        self._size_bytes = wanted.size_bytes
        self._most_bytes = 0
        self._unchecked_bytes = 0

    async def bring(self) -> None:
        """Return once the file is in its place; at once if it is there already.

        What has come stays as a part if this fails, or is cancelled.

        Raises:
            PullUnusableError: the source's bytes are not the right ones; nothing of them stays.
            ModeldError: it cannot be brought.
        """
        wanted = self._wanted
        if self._folder.is_there(wanted.name):
            await self._verify()
            return
        with opened_part(self._folder, wanted.name, wanted.digest) as part:
            self._meter.enter("verifying", wanted.name)
            await part.resume(self._meter.at)
            if not self._is_a_beginning(part):
                part.restart()
            resumed = part.size_bytes > 0
            if not part.is_right():
                await self._fill(part)
            if resumed and not part.is_right():
                log.warning("what was kept of %s is no use; it is pulled anew", wanted.name)
                part.restart()
                await self._fill(part)
            if not part.is_right():
                self._refuse(part, f"has other bytes than {wanted.digest}")
            part.commit()
        self._meter.finish(part.size_bytes)

    async def _verify(self) -> None:
        """See whether the file that is there is the one that is wanted.

        Raises:
            PullConflictError: it is another one.
        """
        wanted, size = self._wanted, 0
        self._meter.enter("verifying", wanted.name)
        hasher = wanted.digest.hasher()
        descriptor = self._folder.open(wanted.name, os.O_RDONLY)
        try:
            while block := os.read(descriptor, _BLOCK_BYTES):
                hasher.update(block)
                size += len(block)
                self._meter.at(size)
                await asyncio.sleep(0)  # a cancellation gets its chance
        finally:
            os.close(descriptor)
        if hasher.hexdigest() != wanted.digest.hex:
            raise PullConflictError(
                f"{self._folder.path / wanted.name} is there already, and is another file than the"
                " source has; move it away to have that one"
            )
        self._meter.finish(size)

    async def _fill(self, part: Part) -> None:
        """Receive what is missing, in as many tries as it takes and as there may be."""
        self._most_bytes = part.size_bytes
        while self._size_bytes is None or part.size_bytes < self._size_bytes:
            self._meter.enter("downloading", self._wanted.name)
            try:
                await self._receive(part)
            except PullFailedError as exc:
                wait_s = self._tries.wait_s(exc)
                log.info("%s; trying again in %.1f s", exc.message, wait_s)
                self._meter.enter("waiting", self._wanted.name, detail=exc.message)
                await self._sleep(wait_s)

    async def _receive(self, part: Part) -> None:
        headers = {}
        if part.size_bytes:
            headers["Range"] = f"bytes={part.size_bytes}-"
            if part.etag:
                headers["If-Range"] = part.etag
        async with self._client.get(self._wanted.url, headers) as opened:
            self._begin(part, opened)
            async for piece in self._client.pieces(opened):
                self._take(part, piece)
        if self._size_bytes is None:
            self._size_bytes = part.size_bytes
        elif part.size_bytes < self._size_bytes:
            raise PullFailedError(f"{opened.response.url.host} broke off")

    def _begin(self, part: Part, opened: Opened) -> None:
        """Get ready for the bytes of a response, which may be all of them again."""
        self._check_link(part, opened)
        response = opened.response
        start, total = _announced(response)
        self._check_total(part, total, response.url.host)
        if start != part.size_bytes:
            part.restart()
        if response.status == RANGE:
            raise PullFailedError(f"{response.url.host} has no more of it")
        if start != part.size_bytes:
            raise PullFailedError(f"{response.url.host} sends another part than the one asked")
        if self._size_bytes is None:
            self._size_bytes = total
            self._meter.begin(total)
        missing = 1 if self._size_bytes is None else self._size_bytes - part.size_bytes
        self._folder.check_space(missing, self._keep_free_bytes)
        etag = response.headers.get("ETag", "")
        part.begin("" if etag.startswith("W/") else etag)

    def _check_total(self, part: Part, total: int | None, host: str | None) -> None:
        """Refuse a file of another size, before what was kept is given up for it.

        Raises:
            PullFailedError: there is a part, which stays; one wrong response says little of it.
            PullUnusableError: there is none.
        """
        if total is None or self._size_bytes is None or total == self._size_bytes:
            return
        said = f"has {total} bytes where {self._size_bytes} are due"
        if part.size_bytes:
            raise PullFailedError(f"{self._wanted.name} at {host} {said}")
        self._refuse(part, said)

    def _check_link(self, part: Part, opened: Opened) -> None:
        """Refuse a file that the hub says is another one than it has listed."""
        digest, size = self._wanted.digest, opened.linked_size
        has_sha256 = digest.algorithm == "sha256" and len(opened.linked_etag) == len(digest.hex)
        if (has_sha256 and opened.linked_etag != digest.hex) or (
            size is not None and size != (self._size_bytes or size)
        ):
            self._refuse(part, "has become another file since it was listed; pull again")

    def _take(self, part: Part, piece: bytes) -> None:
        self._unchecked_bytes += len(piece)
        if self._unchecked_bytes >= CHECK_SPACE_BYTES:
            self._unchecked_bytes = 0
            self._folder.check_space(1, self._keep_free_bytes)
        part.write(piece)
        if part.size_bytes > self._most_bytes:  # what had come before is no progress
            self._most_bytes = part.size_bytes
            self._tries.succeed()
        self._meter.at(part.size_bytes)
        if part.head != MAGIC[: len(part.head)]:
            self._refuse(part, "is no GGUF file: its first bytes are others")
        if self._size_bytes is not None and part.size_bytes > self._size_bytes:
            self._refuse(part, f"has more than {self._size_bytes} bytes")

    def _is_a_beginning(self, part: Part) -> bool:
        """Return whether the bytes that were kept can be the first ones of the file."""
        fits = self._size_bytes is None or part.size_bytes <= self._size_bytes
        return fits and part.head == MAGIC[: len(part.head)]

    def _refuse(self, part: Part, why: str) -> NoReturn:
        part.discard()
        raise PullUnusableError(f"{self._wanted.name} at its source {why}")


def _announced(response: ClientResponse) -> tuple[int | None, int | None]:
    """Return where a response's bytes begin and how many the whole file has, where it says so."""
    if response.status == 200:
        return 0, response.content_length
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None:
        return None, None
    start, total = found.groups()
    return int(start) if start else None, int(total) if total != "*" else None
