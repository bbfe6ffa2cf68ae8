# SPDX-License-Identifier: GPL-3.0-only
"""The page about pulling has every setting, error and field as it is."""

from __future__ import annotations

import inspect

import msgspec
import pytest
from modeld_pull import errors
from modeld_pull.server.body import PullBody
from modeld_pull.settings import PullSettings

from modeld import ModeldError
from modeld.settings import PluginTables, resolve, table_of
from modeld.settings.setting import default_text
from tests.openapi_document import document
from tests.support.docs.pages import blocks, rows, section

PAGE = "how-to/pulling.md"
TABLE = table_of("pull", PullSettings)


def test_every_setting_is_there_as_it_is() -> None:
    _, *found = rows(section(PAGE, "All that can be set"))
    assert [(row[0], row[2].strip("`"), row[3]) for row in found] == [
        (f"`{row.name}`", default_text(row), row.help) for row in TABLE.rows
    ]


def test_every_error_is_there_with_its_status_and_what_it_means() -> None:
    _, *found = rows(section(PAGE, "When it goes wrong"))
    assert [tuple(row) for row in found] == [
        (f"`{each.code}`", str(each.status), ("no", "yes")[each.retryable], inspect.getdoc(each))
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, ModeldError) and each is not ModeldError
    ]


def test_every_field_is_there() -> None:
    _, *found = rows(section(PAGE, "For clients"))
    assert [row[0].strip("`") for row in found] == list(PullBody.__struct_fields__)


def test_the_settings_on_the_page_can_be_used(tmp_path) -> None:
    (block,) = blocks("yaml", PAGE)
    file = tmp_path / "modeld.yaml"
    file.write_text(block.text)
    settings = resolve({}, {}, str(file), tables=PluginTables(tables=(TABLE,))).settings
    assert settings.of(PullSettings).client_urls


@pytest.fixture(scope="module")
def described():
    return document(more={"pull"})["paths"]


def test_the_document_has_the_routes_with_every_field(described) -> None:
    body = described["/models/pull"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    fields = {field.name: field for field in msgspec.structs.fields(PullBody)}
    assert list(body["properties"]) == list(fields)
    assert body["required"] == [name for name, each in fields.items() if each.required]
    assert {name: each.get("default") for name, each in body["properties"].items()} == {
        name: None if each.required else each.default for name, each in fields.items()
    }
    assert set(described["/models/pulls"]) >= {"get"}
    (member,) = [each for each in described if each.startswith("/models/pulls/")]
    schema = described[member]["delete"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    assert list(schema["properties"]) == schema["required"]
