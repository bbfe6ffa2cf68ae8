# SPDX-License-Identifier: GPL-3.0-only
"""The settings of installed plugins are found, and reach their hooks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import pytest
from msgspec import Meta

import modeld
from modeld import PluginSettings, Settings, hookimpl
from modeld.errors import ConfigurationError
from modeld.plugins.tables import find_tables
from modeld.settings import PluginTables, resolve
from tests.support.plugins.shelf import (
    ShelfPlugin,
    ShelfSettings,
    SpeakerPlugin,
    SpeakerSettings,
)
from tests.support.plugins.some_plugins import ZOO, discover, status_of


class Waiting(PluginSettings, frozen=True):
    wait_s: Annotated[float, Meta(description="x")] = 1.0


class Long(PluginSettings, frozen=True):
    b_c: Annotated[int, Meta(description="x")] = 0


class Short(PluginSettings, frozen=True):
    c: Annotated[int, Meta(description="x")] = 0


class Takes:
    """A plugin that takes the settings it is given."""

    def __init__(self, declared: object) -> None:
        self._declared = declared

    @hookimpl
    def modeld_register_settings(self) -> Any:
        if isinstance(self._declared, BaseException):
            raise self._declared
        return self._declared


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ZOO / "settings"))


def zoo_of(found: PluginTables) -> list[str]:
    """Return the plugins of the zoo that have a table; others are installed beside them."""
    names = [table.plugin for table in found.tables]
    return [name for name in names if name.startswith("zoo-")]


@pytest.mark.usefixtures("zoo")
def test_installed_plugins_are_asked_for_their_settings() -> None:
    found = find_tables(Settings())
    assert zoo_of(found) == ["zoo-shelf", "zoo-speaker"]
    assert "zoo-plain" in found.without
    assert "lru" in found.without
    assert found.left_out["zoo-fallen"].startswith("the plugin is broken: import raised")


@pytest.mark.usefixtures("zoo")
def test_a_blocked_plugin_is_not_imported_for_its_settings() -> None:
    found = find_tables(Settings(block_plugins=("zoo-shelf",)))
    assert zoo_of(found) == ["zoo-speaker"]
    assert found.left_out["zoo-shelf"] == "block_plugins leaves the plugin out"


@pytest.mark.usefixtures("zoo")
def test_nothing_is_logged_while_settings_are_looked_up(caplog: pytest.LogCaptureFixture) -> None:
    find_tables(Settings())
    assert not caplog.records
    assert not logging.getLogger("modeld.plugins").disabled


@pytest.mark.usefixtures("zoo")
def test_a_hook_gets_the_values_of_its_plugin() -> None:
    environ = {"MODELD_ZOO_SHELF_FOLDER": "/texts"}
    settings = resolve({}, environ, tables=find_tables).settings
    host = discover(plugins=settings.plugins)
    source: Any = host.sources["zoo-shelf"]
    assert source.settings.folder == "/texts"
    assert status_of(host, "zoo-shelf").provides == ("settings zoo-shelf", "source zoo-shelf")


def test_an_application_gives_values_to_its_own_plugin() -> None:
    host = discover({"shelf": ShelfPlugin}, plugins=(ShelfSettings(folder="/texts"),))
    source: Any = host.sources["zoo-shelf"]
    assert source.settings.folder == "/texts"


def test_the_hook_of_commands_has_them_too() -> None:
    host = discover({"speaker": SpeakerPlugin}, plugins=(SpeakerSettings(words="Sing."),))
    assert host.commands["speak"].summary == "Sing."


@pytest.mark.usefixtures("zoo")
def test_settings_are_read_as_a_server_without_options_has_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "modeld.json"
    config.write_text('{"addr": ":1", "zoo-shelf": {"most": 3}}')
    monkeypatch.setenv("MODELD_ZOO_SHELF_FOLDER", "/texts")
    settings = modeld.read_settings(str(config))
    own = settings.of(ShelfSettings)
    assert (settings.addr, own.most, own.folder) == (":1", 3, "/texts")
    assert modeld.read_settings(environ={}) == Settings()


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (int, "its settings cannot be used: they are no subclass of PluginSettings"),
        (RuntimeError("no"), "modeld_register_settings raised RuntimeError: no"),
        (SystemExit(3), "modeld_register_settings raised SystemExit: 3"),
    ],
)
def test_a_plugin_with_a_wrong_table_is_left_out(declared: object, reason: str) -> None:
    host = discover({"takes": Takes(declared)})
    status = status_of(host, "takes")
    assert (status.state, status.reason, status.provides) == ("broken", reason, ())


def test_a_plugin_with_the_name_of_a_setting_has_no_settings_of_its_own() -> None:
    """What stands under that name in a file is modeld's, and must go on being read."""
    status = status_of(discover({"models": Takes(Waiting)}), "models")
    assert status.state == "broken"
    assert "'models' is a setting of modeld itself" in (status.reason or "")


def test_settings_are_those_of_the_very_class_that_asks() -> None:
    class Special(ShelfSettings, frozen=True):
        """Another plugin's, made from the first one's."""

    settings = Settings(plugins=(Special(most=9),))
    assert settings.of(Special).most == 9
    assert settings.of(ShelfSettings) == ShelfSettings()


def test_a_setting_that_would_be_one_of_modelds_own_is_refused() -> None:
    status = status_of(discover({"max": Takes(Waiting)}), "max")
    assert status.reason == (
        "its settings cannot be used: 'wait_s' would be MODELD_MAX_WAIT_S, which modeld itself has"
    )


def test_two_plugins_with_one_variable_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match="'a' and 'a-b' both have MODELD_A_B_C"):
        discover({"a": Takes(Long), "a-b": Takes(Short)})


def test_settings_that_no_plugin_in_use_takes_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    discover({"a": Takes(Long)}, plugins=(Long(), Short()))
    assert [each.message for each in caplog.records] == [
        "the settings Short are not used: no plugin in use takes them"
    ]
