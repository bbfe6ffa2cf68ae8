# SPDX-License-Identifier: GPL-3.0-only
"""The page about servers of another make says what can be set, and its examples can be used."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from modeld_upstream.backend import backends_of
from modeld_upstream.kinds import KINDS
from modeld_upstream.options import UpstreamOptions
from modeld_upstream.servers import UpstreamServer, UpstreamSettings

from modeld import ModelSpec, Settings
from modeld.serving.models.options import options_of
from modeld.settings import PluginTables, resolve, table_of
from tests.support.docs.pages import ROOT, blocks, rows, section

PAGE = "how-to/upstream.md"
README = ROOT / "plugins" / "modeld-upstream" / "README.md"
TABLES = PluginTables(tables=(table_of("upstream", UpstreamSettings),))
YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = [*(block.text for block in blocks("yaml", PAGE)), *YAML.findall(README.read_text())]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def fields(struct: type[msgspec.Struct]) -> dict[str, object]:
    return {field.name: field.default for field in msgspec.structs.fields(struct)}


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_can_be_used(text: str, tmp_path: Path) -> None:
    file = tmp_path / "modeld.yaml"
    file.write_text(text)
    settings = resolve({}, {}, str(file), tables=TABLES).settings
    servers = settings.of(UpstreamSettings).servers
    assert servers
    for backend in backends_of(servers, Settings()):
        for pattern in settings.models:
            assert options_of(ModelSpec(id=pattern, name="", path=""), settings, backend)


def test_everything_that_can_be_set_of_a_server_is_there() -> None:
    _, *table = rows(section(PAGE, "All that can be set"))
    said = [name for key, *_ in table for name in names(key)]
    assert sorted(said) == sorted(UpstreamServer.__struct_fields__)


def test_defaults_that_are_numbers_are_those_of_the_code() -> None:
    defaults = fields(UpstreamServer) | {"slots": UpstreamOptions().slots}
    _, *table = rows(section(PAGE, "All that can be set"))
    for key, default, *_ in table:
        if default.isdecimal():
            assert defaults[names(key)[0]] == float(default), key


def test_every_kind_is_there() -> None:
    _, *table = rows(section(PAGE, "Kinds of servers"))
    assert sorted(names(kind)[0] for kind, *_ in table) == sorted(KINDS)
