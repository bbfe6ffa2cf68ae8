# SPDX-License-Identifier: GPL-3.0-only
"""Reads the settings again, and applies what a running application can take over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, TypeAlias

from msgspec.structs import replace

from modeld.errors import ConfigurationError, InvalidSettingsError, NotSupportedError
from modeld.hosting.daemon_threads import in_daemon_thread
from modeld.httpapi.access.keys import Keys, keys_in
from modeld.interfaces import ModelService
from modeld.plugins.host import PluginHost
from modeld.settings import Settings
from modeld.settings.changes import SettingsChange, change_of

READ_LIMIT_S: Final = 10.0
"""How long the files may take to be read; a disk may not answer."""

ReadSettings: TypeAlias = Callable[[], Settings]
"""Reads the settings from where they came from; it may block."""

log = logging.getLogger("modeld.reload")


class Reload:
    """Reloads the settings of one application, once at a time.

    ``error`` says why those that were read last are not used; ``None`` if they are. ``on_change``
    is told of the settings that count from now on.
    """

    def __init__(
        self,
        settings: Settings,
        read: ReadSettings | None,
        service: ModelService,
        plugins: PluginHost,
        keys: Keys,
    ) -> None:
        self.settings = settings
        self.error: str | None = None
        self.on_change: Callable[[Settings], None] = lambda _settings: None
        self._read = read
        self._service = service
        self._plugins = plugins
        self._keys = keys
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> SettingsChange:
        """Read the settings again, and return what has changed.

        Raises:
            InvalidSettingsError: they cannot be used; all is as before.
            NotSupportedError: they came from a program and from no file.
        """
        if self._read is None:
            raise NotSupportedError(
                "this application was given its settings by the program that made it, which can"
                " make another one"
            )
        async with self._one_at_a_time:
            try:
                change = await self._taken_over(self._read)
            except ConfigurationError as exc:
                self.error = exc.message
                log.error("the settings are not reloaded: %s", exc.message)  # noqa: TRY400
                raise InvalidSettingsError(exc.message, field=exc.field) from exc
        log.info("reloaded the settings; changed: %s", ", ".join(change.changed) or "nothing")
        if change.needs_restart:
            log.warning("these need a restart: %s", ", ".join(change.needs_restart))
        return change

    async def _taken_over(self, read: ReadSettings) -> SettingsChange:
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                wanted = await in_daemon_thread(read)
                change = change_of(self.settings, wanted, self._plugins.settings_classes())
                file = change.settings.api_key_file
                keys = await in_daemon_thread(lambda: keys_in(file)) if file else []
        except TimeoutError as exc:
            raise ConfigurationError(
                f"the file of the settings, or that of the keys, does not answer for"
                f" {READ_LIMIT_S:g} s"
            ) from exc
        await self._service.reconfigure(change.settings)
        # From here on nothing can fail: either all of it counts, or nothing.
        has_other_keys = self._keys.replace(keys)
        self.settings, self.error = change.settings, None
        self.on_change(change.settings)
        if has_other_keys and "api_key_file" not in change.changed:
            return replace(change, changed=("api_key_file", *change.changed))
        return change
