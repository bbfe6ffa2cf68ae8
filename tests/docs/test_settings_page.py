# SPDX-License-Identifier: GPL-3.0-only
"""docs/settings.md has every setting as it is, and numbers in the text are the defaults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from modeld_llama_cpp.options import LlamaOptions

from modeld.cli.options import SECTIONS
from modeld.settings import TABLE, Setting
from tests.docs.pages import PAGES, read, rows, section

SETTINGS = {row.name: row for row in TABLE}


def limits(annotations: Sequence[Any]) -> str:
    """The range that a setting's or an option's annotations allow, in words."""
    words = []
    for meta in (each for each in annotations if isinstance(each, msgspec.Meta)):
        words += [f"from {meta.ge:,}"] if meta.ge is not None else []
        words += [f"above {meta.gt:,}"] if meta.gt is not None else []
        words += [f"to {meta.le:,}"] if meta.le is not None else []
    return " ".join(words)


def kind(plain: Any, choices: Sequence[str], annotations: Sequence[Any]) -> str:
    """Type and range in words."""
    if choices:
        return " or ".join(f"`{choice}`" for choice in choices)
    words = {
        bool: "`true` or `false`",
        int: "whole number",
        float: "number",
        str: "text",
        tuple: "list of texts",
        dict: "table",
    }
    return f"{words[get_origin(plain) or plain]} {limits(annotations)}".strip()


def shown(default: object) -> str:
    """A default value as the tables show it."""
    match default:
        case bool():
            return "`on`" if default else "`off`"
        case float():
            return f"`{default:g}`"
        case None | "" | () | {}:
            return "none"
        case _:
            return f"`{default}`"


def expected(row: Setting) -> Sequence[str]:
    type_and_range = kind(row.type, row.choices, get_args(row.annotated)[1:])
    names = (f"`{row.name}`", f"`{row.flag}`", f"`{row.variable}`")
    return (*names, type_and_range, shown(row.default), row.help)


def test_every_setting_is_in_its_sections_table_with_all_it_says() -> None:
    wanted: dict[str, list[Sequence[str]]] = {}
    title = ""
    for row in TABLE:
        title = SECTIONS.get(row.name, title)
        wanted.setdefault(title, []).append(expected(row))
    for title, each in wanted.items():
        _header, *found = [row for row in rows(section("settings.md", title)) if len(row) == 6]
        assert found == each


def test_every_option_of_the_llama_cpp_backend_is_in_its_table() -> None:
    hints = get_type_hints(LlamaOptions, include_extras=True)
    wanted = []
    for field in msgspec.structs.fields(LlamaOptions):
        plain, meta = get_args(hints[field.name])
        if type(None) in get_args(plain):
            annotations = [note for part in get_args(plain) for note in get_args(part)[1:]]
            plain = int
        else:
            annotations = [meta]
        type_and_range = kind(plain, (), annotations)
        wanted.append((f"`{field.name}`", type_and_range, shown(field.default), meta.description))
    _header, *found = rows(section("settings.md", "Options of the llama.cpp backend"))
    assert found == wanted


@pytest.mark.parametrize("page", PAGES)
def test_a_number_behind_a_settings_name_is_its_default(page: str) -> None:
    said = re.findall(r"`(\w+)`(?:\]\([^)]*\))? \((\d[\d.]*)(?: s| MiB)?\)", read(page))
    for name, number in said:
        if name in SETTINGS:
            assert float(number) == SETTINGS[name].default, f"{page}: {name} ({number})"


def test_some_page_does_say_a_default_in_its_text() -> None:
    assert "[`max_wait_s`](settings.md#queues-and-fairness) (120 s)" in read("api.md")
