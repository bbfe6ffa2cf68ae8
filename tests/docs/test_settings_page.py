# SPDX-License-Identifier: GPL-3.0-only
"""The settings page has every setting as it is, and numbers in the text are the defaults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from modeld_llama_cpp.options import LlamaOptions
from modeld_openvino.options import OpenVinoOptions

from modeld.cli.params import SECTIONS
from modeld.settings import TABLE
from modeld.settings.model_rows import ServingOptions
from modeld.settings.setting import Setting
from modeld.values import Value
from tests.support.docs.pages import PAGES, read, rows, section

SETTINGS = {row.name: row for row in TABLE}


def limits(annotations: Sequence[Any]) -> str:
    """Return the range that a setting's or an option's annotations allow, in words."""
    words = []
    for meta in (each for each in annotations if isinstance(each, msgspec.Meta)):
        words += [f"from {meta.ge:,}"] if meta.ge is not None else []
        words += [f"above {meta.gt:,}"] if meta.gt is not None else []
        words += [f"to {meta.le:,}"] if meta.le is not None else []
    return " ".join(words)


def kind(hint: Any) -> str:
    """Return type and range in words; whether something may be left out is said by its default."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{kind(arguments[0])} {limits(arguments[1:])}".strip()
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        noun, _, rest = kind(arguments[0]).partition(" ")
        return f"list of {noun}s {rest}".strip()
    if origin in {Union, UnionType}:
        return " or ".join(kind(each) for each in arguments if each is not type(None))
    words = {bool: "`true` or `false`", int: "whole number", float: "number", str: "text"}
    return words.get(hint, "table")


def shown(default: object) -> str:
    """Return a default value as the tables show it."""
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
    names = (f"`{row.name}`", f"`{row.flag}`", f"`{row.variable}`")
    return (*names, kind(row.annotated), shown(row.default), row.help)


def test_every_setting_is_in_its_sections_table_with_all_it_says() -> None:
    wanted: dict[str, list[Sequence[str]]] = {}
    title = ""
    for row in TABLE:
        title = SECTIONS.get(row.name, title)
        wanted.setdefault(title, []).append(expected(row))
    for title, each in wanted.items():
        _header, *found = [
            row for row in rows(section("reference/settings.md", title)) if len(row) == 6
        ]
        assert found == each


@pytest.mark.parametrize(
    ("options", "backend"),
    [
        (LlamaOptions, "the llama.cpp backend"),
        (OpenVinoOptions, "the OpenVINO backend"),
        (ServingOptions, "every model"),
    ],
)
def test_every_option_is_in_its_table(options: type[Value], backend: str) -> None:
    hints = get_type_hints(options, include_extras=True)
    wanted, defaults = [], options()
    for field in msgspec.structs.fields(options):
        hint = hints[field.name]
        description = get_args(hint)[-1].description
        wanted.append(
            (f"`{field.name}`", kind(hint), shown(getattr(defaults, field.name)), description)
        )
    _header, *found = rows(section("reference/settings.md", f"Options of {backend}"))
    assert found == wanted


@pytest.mark.parametrize("page", PAGES)
def test_a_number_behind_a_settings_name_is_its_default(page: str) -> None:
    said = re.findall(r"`(\w+)`(?:\]\([^)]*\))? \((\d[\d.]*)(?: s| MiB)?\)", read(page))
    for name, number in said:
        if name in SETTINGS:
            assert float(number) == SETTINGS[name].default, f"{page}: {name} ({number})"


def test_some_page_does_say_a_default_in_its_text() -> None:
    assert "[`max_wait_s`](settings.md#queues-and-fairness) (120 s)" in read("reference/api.md")
