# SPDX-License-Identifier: GPL-3.0-only
"""The settings of a plugin: where they come from, and what is said of wrong ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from modeld.errors import ConfigurationError
from modeld.settings import (
    PluginSettings,
    PluginTables,
    Secret,
    Settings,
    own_settings,
    resolve,
    table_of,
)
from tests.support.plugins.shelf import Server, ShelfSettings

SHELF = table_of("zoo-shelf", ShelfSettings)
TABLES = PluginTables(
    tables=(SHELF,), left_out={"zoo-fallen": "it is broken"}, without=("zoo-plain",)
)
SERVERS = [{"url": "http://a", "key": "s3cret"}, {"url": "http://b", "weight": 2}]
READ = (Server(url="http://a", key="s3cret"), Server(url="http://b", weight=2))

# A value of each setting as a file has it, as text, and as the plugin gets it.
VALUES: dict[str, tuple[Any, str, Any]] = {
    "folder": ("/texts", "/texts", "/texts"),
    "most": (7, "7", 7),
    "cache_mb": ("2GiB", "2GiB", 2048),
    "patience_s": (2, "2", 2.0),
    "sorted": (True, "true", True),
    "order": ("size", "size", "size"),
    "suffixes": ([".md", ".txt"], ".md, .txt", (".md", ".txt")),
    "limit": (200, "200", 200),
    "token": ("t0ken", "t0ken", "t0ken"),
    "servers": (SERVERS, json.dumps(SERVERS), READ),
    "labels": ({"poem": 1}, '{"poem": 1}', {"poem": 1}),
}


def shelf(
    flags: dict[str, object] | None = None,
    environ: dict[str, str] | None = None,
    config: str | None = None,
) -> ShelfSettings:
    return resolve(flags or {}, environ or {}, config, TABLES).settings.of(ShelfSettings)


def refusal(
    written: object = None, environ: dict[str, str] | None = None, folder: Path | None = None
) -> str:
    config = None if folder is None else file(folder, written)
    with pytest.raises(ConfigurationError) as caught:
        shelf({}, environ, config)
    return str(caught.value).removeprefix(f"{config}: ")


def file(folder: Path, written: object) -> str:
    path = folder / "modeld.json"
    path.write_text(json.dumps(written))
    return str(path)


def test_the_cases_are_all_settings() -> None:
    assert [row.name for row in SHELF.rows] == list(VALUES)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_from_the_file_a_variable_and_a_flag(name: str, tmp_path: Path) -> None:
    written, text, wanted = VALUES[name]
    config = file(tmp_path, {"zoo-shelf": {name: written}})
    (row,) = [row for row in SHELF.rows if row.name == name]

    assert getattr(shelf(config=config), name) == wanted
    assert getattr(shelf(environ={row.variable: text}), name) == wanted
    assert getattr(shelf({f"zoo-shelf.{name}": text}), name) == wanted


def test_a_flag_wins_over_a_variable_that_over_the_file_that_over_the_default(
    tmp_path: Path,
) -> None:
    config = file(tmp_path, {"zoo-shelf": {"most": 1, "folder": "file", "cache_mb": 1}})
    environ = {"MODELD_ZOO_SHELF_MOST": "2", "MODELD_ZOO_SHELF_FOLDER": "variable"}
    result = resolve({"zoo-shelf.most": "3"}, environ, config, TABLES)

    own = result.settings.of(ShelfSettings)
    assert (own.most, own.folder, own.cache_mb, own.order) == (3, "variable", 1, "name")
    origins = {
        name: result.origins[f"zoo-shelf.{name}"]
        for name in ("most", "folder", "cache_mb", "order")
    }
    assert origins == {
        "most": "flag --zoo-shelf-most",
        "folder": "environment MODELD_ZOO_SHELF_FOLDER",
        "cache_mb": f"file {config}",
        "order": "default",
    }
    assert not result.warnings


def test_without_anything_a_plugin_gets_its_defaults() -> None:
    assert Settings().of(ShelfSettings) == ShelfSettings()
    assert shelf() == ShelfSettings()


def test_an_application_gives_the_values_themselves() -> None:
    own = ShelfSettings(most=3)
    assert Settings(plugins=(own,)).of(ShelfSettings) is own


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"mots": 1}, "zoo-shelf: unknown key 'mots'; did you mean 'most'?"),
        ({"most": 0}, "zoo-shelf.most: expected a whole number of 1 or more, got 0"),
        ({"patience_s": "x"}, "zoo-shelf.patience_s: expected a number of seconds above 0 such as"),
        ({"order": "age"}, "zoo-shelf.order: expected one of name, size, got 'age'"),
        ({"servers": [{}]}, "zoo-shelf.servers[0]: url is missing"),
        ({"servers": [{"url": 1}]}, "zoo-shelf.servers[0].url: expected text, got 1"),
        (
            {"servers": [{"url": "x", "weihgt": 2}]},
            "zoo-shelf.servers[0]: 'weihgt' is none of key, url, weight; did you mean 'weight'?",
        ),
        ({"labels": {"a": "b"}}, "zoo-shelf.labels['a']: expected a whole number, got 'b'"),
        ({"limit": 2}, "the settings of the plugin 'zoo-shelf': limit must not be below most"),
        ("on", "zoo-shelf: expected a table of settings of this plugin, got 'on'"),
    ],
)
def test_a_wrong_value_is_refused_with_plugin_key_and_value(
    written: object, said: str, tmp_path: Path
) -> None:
    assert refusal({"zoo-shelf": written}, folder=tmp_path).startswith(said)


def test_a_wrong_text_is_refused_with_its_variable() -> None:
    assert refusal(environ={"MODELD_ZOO_SHELF_MOST": "some"}) == (
        "MODELD_ZOO_SHELF_MOST: expected a whole number of 1 or more, got 'some'"
    )
    assert refusal(environ={"MODELD_ZOO_SHELF_SERVERS": "[{"}).startswith(
        "MODELD_ZOO_SHELF_SERVERS: expected a list, each member a table; it ends too early"
    )


@pytest.mark.parametrize("written", [{"token": 12345}, {"servers": [{"url": "", "key": 12345}]}])
def test_an_error_does_not_show_a_secret(written: object, tmp_path: Path) -> None:
    said = refusal({"zoo-shelf": written}, folder=tmp_path)
    assert said.endswith("expected text, got something else, which is secret")


@pytest.mark.parametrize("written", [{"token": "***"}, {"servers": [{"url": "", "key": "***"}]}])
def test_what_stands_in_place_of_a_secret_is_none(written: object, tmp_path: Path) -> None:
    assert "*** only stands in place of the secret" in refusal(
        {"zoo-shelf": written}, folder=tmp_path
    )


def test_a_secret_is_not_written_with_the_values_around_it() -> None:
    own = ShelfSettings(token="t0ken", servers=READ)
    assert "t0ken" not in repr(own)
    assert "s3cret" not in repr(own)
    assert "t0ken" not in repr(Settings(plugins=(own,)))
    assert "http://b" in repr(own)


def test_a_table_of_a_plugin_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    assert refusal({"upstream": {"url": "x"}}, folder=tmp_path) == (
        "'upstream' is neither a setting nor an installed plugin; install the plugin whose table"
        " it is, or take the table out"
    )
    assert refusal({"zoo-shelv": {}}, folder=tmp_path) == (
        "unknown key 'zoo-shelv'; did you mean 'zoo-shelf'?"
    )


def test_a_table_of_a_plugin_without_settings_is_refused(tmp_path: Path) -> None:
    assert refusal({"zoo-plain": {}}, folder=tmp_path) == (
        "the plugin 'zoo-plain' takes no settings; take its table out"
    )


def test_a_table_of_a_plugin_that_is_left_out_is_warned_of(tmp_path: Path) -> None:
    config = file(tmp_path, {"zoo-fallen": {"a": 1}})
    (warning,) = resolve({}, {}, config, TABLES).warnings
    assert warning == f"{config}: the table 'zoo-fallen' is not used: it is broken"


def test_plugins_are_asked_only_where_something_is_not_modelds_own(tmp_path: Path) -> None:
    asked: list[Settings] = []

    def find(settings: Settings) -> PluginTables:
        asked.append(settings)
        return TABLES

    own = {"MODELD_BLOCK_PLUGINS": "a,b"}
    resolve({"addr": ":1"}, own, file(tmp_path, {"max_wait_s": 1}), find)
    assert not asked
    for flags, environ in (({"zoo-shelf.most": "1"}, own), ({}, own | {"MODELD_ZOO_X": "1"})):
        resolve(flags, environ, None, find)
    resolve({}, own, file(tmp_path, {"zoo-shelf": {}}), find)
    assert [settings.block_plugins for settings in asked] == [("a", "b")] * 3


def test_modelds_own_settings_are_read_beside_tables_of_plugins(tmp_path: Path) -> None:
    config = file(tmp_path, {"zoo-shelf": {"most": 1}, "addr": ":1"})
    assert own_settings({}, {}, config) == Settings(addr=":1")


class Bare(msgspec.Struct):
    x: int = 1


class Empty(PluginSettings, frozen=True):
    pass


class Needed(PluginSettings, frozen=True):
    url: Annotated[str, Meta(description="x")]


class Mute(PluginSettings, frozen=True):
    url: str = ""


class Loud(PluginSettings, frozen=True):
    Url: Annotated[str, Meta(description="x")] = ""


class Loose(PluginSettings, frozen=True):
    parts: Annotated[tuple[Bare, ...], Meta(description="x")] = ()


class Middle(PluginSettings, frozen=True):
    bare: Bare | None = None


class LooseInside(PluginSettings, frozen=True):
    parts: Annotated[tuple[Middle, ...], Meta(description="x")] = ()


class Told(PluginSettings, frozen=True):
    key: Annotated[Secret, Meta(description="x")] = "k"


class Wrong(PluginSettings, frozen=True):
    most: Annotated[int, Meta(ge=1, description="x")] = 0


@pytest.mark.parametrize(
    ("plugin", "declared", "said"),
    [
        ("shelf", Bare, "no subclass of PluginSettings"),
        ("shelf", ShelfSettings(), "no subclass of PluginSettings"),
        ("My Shelf", ShelfSettings, "the plugin's name 'My Shelf' is not small letters"),
        ("shelf", Empty, "no fields"),
        ("shelf", Needed, "'url' has no default"),
        ("shelf", Mute, "'url' has no description"),
        ("shelf", Loud, "'Url' is not small letters"),
        ("shelf", Loose, "'parts' has a Bare in it"),
        ("shelf", LooseInside, "'parts' has a Bare in it"),
        ("shelf", Told, "'key' has a secret for its default"),
        ("shelf", Wrong, "Expected `int` >= 1"),
    ],
)
def test_a_class_that_cannot_be_a_table_is_refused(
    plugin: str, declared: object, said: str
) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        table_of(plugin, declared)


class Nullable(PluginSettings, frozen=True):
    key: Annotated[Secret | None, Meta(description="x")] = None


def test_a_setting_that_may_be_left_out_is_written_like_any_other() -> None:
    table = table_of("a-b", Nullable)
    found = resolve({}, {"MODELD_A_B_KEY": "k"}, None, PluginTables(tables=(table,)))
    assert found.settings.of(Nullable).key == "k"
    assert "'k'" not in repr(found.settings.of(Nullable))
