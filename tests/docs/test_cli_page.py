# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/cli.md is what scripts/cli_reference.py makes of the commands as they are."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import click
import pytest

from modeld.cli.main import COMMANDS, ExitCode, cli
from tests.support.docs.pages import ROOT, headings, read, rows, section

PAGE = "reference/cli.md"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "cli_reference", ROOT / "scripts" / "cli_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_commands_say_now(script: ModuleType) -> None:
    made: str = script.page()
    assert read(PAGE) == made, "run `.venv/bin/python scripts/cli_reference.py`"


def test_the_page_does_not_depend_on_the_terminal(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = script.page()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("MODELD_ADDR", ":1")
    assert script.page() == before


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_all_its_options(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert f"modeld {name}" in headings(PAGE)
    text = section(PAGE, f"modeld {name}")
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            names = " or ".join(f"`{each}`" for each in (*param.opts, *param.secondary_opts))
            (row,) = [row for row in rows(text) if row[0] == names]
            assert len(row) == 4


def test_every_exit_code_is_listed() -> None:
    table = rows(section(PAGE, "Exit codes"))[1:]
    assert [int(row[0]) for row in table] == [int(code) for code in ExitCode]


def test_a_command_of_a_group_and_an_option_with_a_range_are_told(script: ModuleType) -> None:
    @click.group()
    def outer() -> None:
        """Do things."""

    @outer.command()
    @click.option("--size", type=click.IntRange(1, 5000, max_open=True), default=7, help="a|b *c")
    def inner(size: int) -> None:
        """Do one thing. And this."""

    text = "\n".join(script._commands(outer.make_context("modeld", [], resilient_parsing=True)))
    assert "| [`modeld inner`](#modeld-inner) | Do one thing. |" in text
    assert r"| `--size` | INTEGER from 1 below 5,000 | `7` | a or b \*c |" in text


def test_the_exit_codes_of_the_page_are_those_of_the_help() -> None:
    said = re.findall(r"(\d+) ", str(cli.epilog))
    assert [int(code) for code in said] == [int(code) for code in ExitCode]
