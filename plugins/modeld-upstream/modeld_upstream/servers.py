# SPDX-License-Identifier: GPL-3.0-only
"""The servers that the settings name: each attached by its URL, or started by a command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta

from modeld import PluginSettings, Secret
from modeld.capabilities import Capability
from modeld.errors import ConfigurationError
from modeld_upstream.kinds import ANY, KINDS, Kind, KindName
from modeld_upstream.options import Context, MemoryMb, Slots
from modeld_upstream.spawning.command import fault_of_command

FIRST_PORT: Final = 20_000
LAST_PORT: Final = 20_999
MODELS: Final = "/models"
"""Where a server lists its models, below its base URL."""

MAX_KEY_BYTES: Final = 16 << 10

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Port = Annotated[int, Meta(ge=1, le=65_535)]


class UpstreamServer(PluginSettings, frozen=True, kw_only=True):
    """One server. It has a ``url`` or a ``command``, never both.

    Raises:
        ValueError: the members do not go together; it names them.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    kind: KindName = "generic"
    url: str = ""
    command: str = ""
    models: tuple[Annotated[str, Meta(min_length=1, max_length=512)], ...] = ()
    files: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    prefix: Annotated[str, Meta(max_length=128)] = ""
    capabilities: Annotated[tuple[Capability, ...], Meta(min_length=1)] | None = None
    slots: Slots | None = None
    context: Context | None = None
    memory_mb: MemoryMb | None = None
    key_file: str = ""
    key_env: str = ""
    health: Annotated[str, Meta(pattern=r"^(/.*)?$")] = ""
    connect_timeout_s: Seconds = 5.0
    stall_timeout_s: Seconds | None = None
    retry_for_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    health_interval_s: Annotated[float, Meta(ge=0, le=3600)] = 15.0
    start_stall_s: Seconds | None = None
    start_timeout_s: Seconds = 1800.0
    stop_timeout_s: Annotated[float, Meta(ge=0, le=25)] = 10.0
    ports: tuple[Port, Port] = (FIRST_PORT, LAST_PORT)
    environment: dict[str, Secret] = {}

    def __post_init__(self) -> None:
        """Check what belongs together."""
        if bool(self.url) is bool(self.command):
            raise ValueError(f"server {self.name!r} needs a url or a command, one of the two")
        fault = self._fault_of_command() if self.command else self._fault_of_url()
        fault = fault or self._fault_of_capabilities()
        if fault is None and self.key_file and self.key_env:
            fault = "has a key_file and a key_env; keep one"
        if fault is not None:
            raise ValueError(f"server {self.name!r} {fault}")

    @property
    def kind_of_server(self) -> Kind:
        """Return what is known of its kind."""
        return KINDS[self.kind]

    @property
    def serves(self) -> frozenset[Capability]:
        """Return what its models can be asked for: as it says, or else as its kind does."""
        if self.capabilities is None:
            return self.kind_of_server.capabilities
        return frozenset(self.capabilities)

    @property
    def options(self) -> dict[str, int]:
        """Return the options that all its models have, where the settings do not say otherwise."""
        said = {"slots": self.slots, "context": self.context, "memory_mb": self.memory_mb}
        return {name: value for name, value in said.items() if value is not None}

    @property
    def health_path(self) -> str:
        """Return where it says whether it is ready; two slashes begin a path below the root."""
        if self.health:
            return f"/{self.health}"
        root_health = self.kind_of_server.root_health
        return f"/{root_health}" if root_health else MODELS

    def key(self) -> str | None:
        """Return the key for the server, read anew each time; ``None`` if it needs none.

        Raises:
            ConfigurationError: there should be one and is none; the message does not have it.
        """
        if self.key_file:
            return self._checked(_from_file(self.key_file, self.name), f"file {self.key_file}")
        if self.key_env:
            key = os.environ.get(self.key_env, "")
            return self._checked(key, f"variable {self.key_env}")
        return None

    def _checked(self, key: str, where: str) -> str:
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable():
            raise ConfigurationError(
                f"server {self.name!r}: the {where} has no key: one line of printable characters"
            )
        return key

    def _fault_of_capabilities(self) -> str | None:
        """Name what nobody could ask the server for: it would be taken and come to nothing."""
        unknown = self.serves - self.kind_of_server.capabilities - ANY
        if unknown:
            return (
                f"is of the kind {self.kind}, which has no words for {', '.join(sorted(unknown))}"
            )
        return None

    def _fault_of_url(self) -> str | None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            return "needs a url such as http://127.0.0.1:8000/v1"
        if parts.username or parts.password or parts.query or parts.fragment:
            return "has a url with more than host and path; a key belongs into key_file"
        if self.files or self.environment:
            return "is attached by its url; files and environment are for a command"
        return None

    def _fault_of_command(self) -> str | None:
        if not self.models and not self.files:
            return "is started by a command; say in models or files for what"
        if self.ports[0] > self.ports[1]:
            return "has ports of which the first is above the last"
        return fault_of_command(self.command)


class UpstreamSettings(PluginSettings, frozen=True, kw_only=True):
    """What is set for this plugin.

    Raises:
        ValueError: two servers have one name.
    """

    servers: Annotated[
        tuple[UpstreamServer, ...],
        Meta(description="servers whose models are served, each with a url or a command"),
    ] = ()

    def __post_init__(self) -> None:
        """Check that names are names."""
        names = [server.name for server in self.servers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two servers are called {name!r}; give one another name")


def _from_file(path: str, server: str) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            return file.read(MAX_KEY_BYTES).decode()
    except (OSError, UnicodeDecodeError, RuntimeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else type(exc).__name__
        raise ConfigurationError(
            f"server {server!r}: its key_file {path} cannot be read: {reason}"
        ) from exc
