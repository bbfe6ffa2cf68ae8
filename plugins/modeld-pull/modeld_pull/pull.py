# SPDX-License-Identifier: GPL-3.0-only
"""One pull, from the reference that somebody has written to verified files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from modeld.errors import InvalidRequestError
from modeld_pull.digest import Digest
from modeld_pull.errors import PullFailedError
from modeld_pull.files.folder import opened_folder
from modeld_pull.files.part import PART
from modeld_pull.files.transfer import Sleep, Transfer, Wanted
from modeld_pull.http.addresses import IsPublic, is_public
from modeld_pull.http.client import PullClient
from modeld_pull.http.tries import Tries
from modeld_pull.hub.choice import chosen
from modeld_pull.hub.repository import Hub, endpoint_of
from modeld_pull.hub.token import token_of
from modeld_pull.progress import Meter, Show
from modeld_pull.reference import HubReference, Reference, UrlReference
from modeld_pull.settings import PullSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a pull finds around it: the folder, the settings, the environment."""

    models_dir: str
    settings: PullSettings
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    sleep: Sleep = asyncio.sleep
    public: IsPublic = is_public

    @property
    def root(self) -> Path:
        """Return the models folder."""
        return Path(self.models_dir).expanduser().absolute()


async def pull(reference: Reference, around: Surroundings, show: Show) -> Sequence[Path]:
    """Bring a model into the models folder and return its files.

    A file of the hub goes to ``OWNER/NAME/`` and its path in the repository below that folder, one
    at a URL to the folder itself. It blocks the event loop where it writes and verifies: run it on
    one of its own.

    Raises:
        ModeldError: it cannot be brought; what has come of it stays as a part, for the next pull.
    """
    start = reference.url if isinstance(reference, UrlReference) else ""
    endpoint = start or endpoint_of(around.settings.endpoint, around.environ)
    token = None if start else token_of(around.settings.token_file, around.environ)
    client = PullClient(
        endpoint,
        token=token,
        stall_timeout_s=around.settings.stall_timeout_s,
        public=around.public,
    )
    async with aclosing(client):
        meter = Meter(show)
        meter.enter("resolving", "")
        match reference:
            case UrlReference():
                folders: Sequence[str] = ()
                wanted: Sequence[Wanted] = [_at_url(reference)]
            case HubReference():
                folders, wanted = await _in_repository(reference, Hub(endpoint, client), around)
        return await _bring(wanted, folders, client, meter, around)


async def _bring(
    wanted: Sequence[Wanted],
    folders: Sequence[str],
    client: PullClient,
    meter: Meter,
    around: Surroundings,
) -> Sequence[Path]:
    keep_free_bytes = around.settings.keep_free_mb << 20
    sizes = [each.size_bytes for each in wanted]
    meter.begin(sum(size or 0 for size in sizes) if None not in sizes else None)
    with opened_folder(around.root, folders) as folder:
        missing = [each for each in wanted if not folder.is_there(each.name)]
        needed_bytes = sum(each.size_bytes or 0 for each in missing)
        had_bytes = sum(folder.size_of(each.name + PART) for each in missing)
        folder.check_space(needed_bytes - had_bytes, keep_free_bytes)
        for each in wanted:
            transfer = Transfer(
                each,
                folder,
                client,
                meter,
                retries=around.settings.retries,
                keep_free_bytes=keep_free_bytes,
                sleep=around.sleep,
            )
            await transfer.bring()
        return [folder.path / each.name for each in wanted]


async def _in_repository(
    reference: HubReference, hub: Hub, around: Surroundings
) -> tuple[Sequence[str], Sequence[Wanted]]:
    """Return the folders and the files of the model that is wanted."""
    tries = Tries(around.settings.retries)
    while True:
        try:
            files = await hub.files(reference)
            break
        except PullFailedError as exc:
            await around.sleep(tries.wait_s(exc))
    model = chosen(files, reference.wanted, reference.repository)
    if reference.sha256:
        digests = [file.digest for file in model]
        if digests != [Digest(algorithm="sha256", hex=reference.sha256)]:
            raise InvalidRequestError(
                f"sha256: {reference} is not one file with this digest; the hub says"
                f" {', '.join(map(str, digests))}",
                field="sha256",
            )
    folder = PurePosixPath(reference.repository, model[0].path).parent
    return folder.parts, [
        Wanted(
            url=hub.url_of(reference, file),
            name=PurePosixPath(file.path).name,
            digest=file.digest,
            size_bytes=file.size_bytes,
        )
        for file in model
    ]


def _at_url(reference: UrlReference) -> Wanted:
    digest = Digest(algorithm="sha256", hex=reference.sha256)
    return Wanted(url=reference.url, name=reference.name, digest=digest)
