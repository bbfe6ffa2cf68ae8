# SPDX-License-Identifier: GPL-3.0-only
"""The source of the models that servers have."""

from __future__ import annotations

import asyncio
import glob
import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from modeld import ModelSpec, RegistrySource
from modeld.errors import ModeldError
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.specs import filed, listed, named

LIST_S: Final = 3.0
"""How long a server has to list its models. Meanwhile a start waits."""

_WILD: Final = frozenset("*?[")

log = logging.getLogger("modeld.upstream")


class UpstreamModels(RegistrySource):
    """Lists the models of all servers in the settings.

    Those that the settings name need no server for it. A server that is asked and does not respond
    has the models that it listed last.
    """

    name = "upstream"

    def __init__(self, servers: Sequence[UpstreamServer]) -> None:
        self._servers = servers
        self._listed: dict[str, list[ModelSpec]] = {}
        self._silent: set[str] = set()
        self._failures: list[ModeldError] = []

    async def list_models(self) -> Sequence[ModelSpec]:
        """Return all models; of two with one id the one of the server that is named first.

        Raises:
            ModeldError: no server has any, and one of them could not be asked.
        """
        self._failures.clear()
        lists = await asyncio.gather(*map(self._models_of, self._servers))
        found: dict[str, ModelSpec] = {}
        for spec in (spec for specs in lists for spec in specs):
            if found.setdefault(spec.id, spec) is not spec:
                log.warning(
                    "model %s of two servers is that of the first; give one of them a prefix",
                    spec.id,
                )
        if not found and self._failures:
            raise self._failures[0]
        return list(found.values())

    async def _models_of(self, server: UpstreamServer) -> list[ModelSpec]:
        if server.command:
            named_ones = [named(server, model, self.name) for model in server.models]
            return named_ones + await asyncio.to_thread(self._filed, server)
        plain = [model for model in server.models if not _WILD & set(model)]
        found = {model: named(server, model, self.name) for model in plain}
        if len(plain) < len(server.models) or not server.models:
            patterns = server.models or ("*",)
            for spec in await self._asked(server):
                if any(fnmatchcase(spec.name, pattern) for pattern in patterns):
                    found[spec.name] = spec
        return list(found.values())

    async def _asked(self, server: UpstreamServer) -> list[ModelSpec]:
        """Return what the server lists, now or else the last time."""
        from modeld_upstream import listing  # noqa: PLC0415  (brings aiohttp)

        try:
            models = await listing.models_of(server, LIST_S)
        except ModeldError as exc:
            self._failures.append(exc)
            if server.name not in self._silent:
                self._silent.add(server.name)
                log.warning("the models of server %s are not known now: %s", server.name, exc)
        else:
            self._silent.discard(server.name)
            self._listed[server.name] = [listed(server, each, self.name) for each in models]
        return self._listed.get(server.name, [])

    def _filed(self, server: UpstreamServer) -> list[ModelSpec]:
        paths = [
            Path(found)
            for pattern in server.files
            for found in sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))  # noqa: PTH207
        ]
        return [filed(server, path.absolute(), self.name) for path in paths if _begins(path)]


def _begins(path: Path) -> bool:
    """Return whether a file is a model, or the first file of one that is split."""
    _, of, rest = path.stem.rpartition("-of-")
    if not (of and rest.isdecimal()):
        return True
    return path.stem.endswith(f"-00001-of-{rest}")
