# SPDX-License-Identifier: GPL-3.0-only
"""Writes docs/reference/cli.md from the commands themselves: `.venv/bin/python` with this file."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from modeld.cli.main import ExitCode, cli
from modeld.cli.params import SettingOption
from modeld.settings.setting import default_text

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"

_INTRO: Final = """\
# Command line

What `modeld` and its commands take. `modeld COMMAND --help` says the same in the terminal, and
`eval "$(modeld completion bash)"` completes commands and options (also for zsh and fish). Every
command has `-h` and `--help`.

An option that has a variable in its row is one of the [settings](settings.md): it can also come
from that variable or from the file that `--config` names. This page is written by
`scripts/cli_reference.py` from the commands themselves.

Commands that [plugins](plugins.md) bring stand after the built-in ones. `modeld bench` is one:
[Measuring](../how-to/benchmarking.md) says how it is installed. `modeld pull` is another:
[Pulling models](../how-to/pulling.md). `modeld ray` serves from
[many machines](../how-to/cluster.md).
"""

_EXITS: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "done, or stopped as asked",
    ExitCode.FAILED: "it failed; one line on standard error says why",
    ExitCode.USAGE: "the command line, the settings or the installed plugins cannot be used",
    ExitCode.NOT_STARTED: "the server could not start: the port is taken, for example",
    ExitCode.INTERNAL: "a fault of modeld or of a plugin",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}


def page() -> str:
    """The whole page, as it should be now."""
    context = cli.make_context("modeld", [], resilient_parsing=True)
    parts = [_INTRO, *_commands(context), *_exit_codes()]
    return "\n".join(part.strip() + "\n" for part in parts)


def _commands(context: click.Context) -> Iterator[str]:
    """A list of all commands, then each of them; groups inside a group are taken apart too."""
    group = context.command
    assert isinstance(group, click.Group)
    found = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    children = [
        (command, click.Context(command, parent=context, info_name=name))
        for name, command in found
        if command is not None and not command.hidden
    ]
    yield _table(
        ("command", "what it does"),
        [
            (f"[`{child.command_path}`](#{_anchor(child.command_path)})", _first(command))
            for command, child in children
        ],
    )
    yield from _options(context)
    for command, child in children:
        yield f"## {child.command_path}"
        yield _usage(command, child)
        yield from _description(command)
        if isinstance(command, click.Group):
            yield from _commands(child)
        else:
            yield from _options(child)


def _usage(command: click.Command, context: click.Context) -> str:
    pieces = " ".join(command.collect_usage_pieces(context))
    return f"```text\n{context.command_path} {pieces}\n```"


def _first(command: click.Command) -> str:
    sentence = re.split(r"(?<=\.)\s", " ".join((command.help or "").split()))[0]
    return _plain(sentence)


def _description(command: click.Command) -> Iterator[str]:
    r"""The paragraphs of the help; one that begins with ``\b`` keeps its lines."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if not paragraph.startswith("\b"):
            yield textwrap.fill(_plain(" ".join(paragraph.split())), 100)
            continue
        title, *lines = paragraph.removeprefix("\b").strip("\n").split("\n")
        text = inspect.cleandoc("\n".join(["", *lines]))
        yield f"{_plain(title)}\n\n```text\n{text}\n```"


def _options(context: click.Context) -> Iterator[str]:
    """One table for each section of the help."""
    sections: dict[str, list[tuple[str, ...]]] = {}
    on_every_command = context.command.get_help_option(context)
    for param in context.command.get_params(context):
        if isinstance(param, click.Option) and not param.hidden and param is not on_every_command:
            section = str(getattr(param, "section", "Options"))
            sections.setdefault(section, []).append(_row(param, context))
    for section, found in sections.items():
        title = [] if len(sections) == 1 else [f"**{section}**"]
        yield "\n\n".join([*title, _table(("option", "value", "default", "meaning"), found)])


def _row(option: click.Option, context: click.Context) -> tuple[str, ...]:
    names = " or ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names, _value(option, context), _default(option, context), _meaning(option)


def _value(option: click.Option, context: click.Context) -> str:
    """What follows the option: its kind, with the range where there is one."""
    if option.is_flag or option.count:
        return ""
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in option.type.choices)
    kind = option.make_metavar(context).removesuffix(" RANGE").replace("|", " or ")
    many = ", may be repeated" if option.multiple else ""
    return " ".join(part for part in (kind, *_limits(option.type)) if part) + many


def _limits(kind: click.ParamType[Any]) -> Iterator[str]:
    if isinstance(kind, click.IntRange | click.FloatRange):
        if kind.min is not None:
            yield f"{'above' if kind.min_open else 'from'} {kind.min:,}"
        if kind.max is not None:
            yield f"{'below' if kind.max_open else 'to'} {kind.max:,}"


def _default(option: click.Option, context: click.Context) -> str:
    if isinstance(option, SettingOption):
        shown = default_text(option.row)
        return "none" if shown == "none" else f"`{shown}`"
    if option.required:
        return "must be given"
    default: Any = option.to_info_dict().get("default")
    if default is None or default is False or default in ((), ""):
        return str(option.get_help_extra(context).get("default") or "")
    return "`on`" if default is True else f"`{default}`"


def _meaning(option: click.Option) -> str:
    if isinstance(option, SettingOption):
        return f"{_plain(option.row.help)} (`{option.row.variable}`)"
    return re.sub(r"\s+\[(MODELD_\w+)\]$", r" (`\1`)", _plain(option.help or ""))


def _plain(text: str) -> str:
    """Text that Markdown must not take for anything else."""
    return text.replace("``", "`").replace("*", r"\*").replace("<", "&lt;").replace("|", " or ")


def _table(header: tuple[str, ...], found: list[tuple[str, ...]]) -> str:
    ruler = "|" + "---|" * len(header)
    first, *rest = (
        "|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|"
        for row in (header, *found)
    )
    return "\n".join((first, ruler, *rest))


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes"
    yield _table(("exit code", "meaning"), [(str(int(code)), _EXITS[code]) for code in ExitCode])
    yield "[How the server stops](../how-to/build-and-run.md#how-it-stops) says which one when."


def _anchor(heading: str) -> str:
    return re.sub(r"\s+", "-", heading)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
