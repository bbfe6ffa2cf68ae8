# SPDX-License-Identifier: GPL-3.0-only
"""What a generation in the terminal must conform to: options, and the requests that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from msgspec.structs import replace

from modeld.constraints import FAULTS, fault_of_schema
from modeld.expectation import json_fault, shown, twice_in_json
from modeld.requests import GenerateRequest

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = {
    "grammar_file": ("grammar", "--grammar-file"),
    "json_schema": ("json_schema", "--json-schema"),
    "regex": ("regex", "--regex"),
    "lark": ("lark", "--lark"),
    "choice": ("choice", "--choice"),
}
"""The names of the options in a command's arguments: the field of a request, and the option."""


def constraint_options(command: F) -> F:
    """Give a command the options that constrain a generation."""
    file = click.Path(dir_okay=False)
    for option in reversed(
        (
            click.option(
                "--grammar-file",
                metavar="FILE",
                type=file,
                help="GBNF grammar that the generation conforms to",
            ),
            click.option(
                "--json-schema",
                metavar="JSON|FILE",
                help="JSON schema that the generation conforms to",
            ),
            click.option(
                "--regex", metavar="REGEX", help="regular expression that the generation matches"
            ),
            click.option(
                "--lark",
                metavar="FILE",
                type=file,
                help="Lark grammar that the generation conforms to",
            ),
            click.option(
                "--choice",
                metavar="TEXT",
                multiple=True,
                help="a text that the generation may be; give one for each",
            ),
        )
    ):
        command = option(command)
    return command


def constrained(request: GenerateRequest, given: Mapping[str, Any]) -> GenerateRequest:
    """Return the request with what the options say that its generation conforms to.

    Raises:
        click.UsageError: two are given, or one cannot be used; the message names the option.
    """
    named = [name for name in _OPTIONS if given.get(name) not in (None, ())]
    if not named:
        return request
    if len(named) > 1:
        first, second = (_OPTIONS[name][1] for name in named[:2])
        raise click.UsageError(f"{first} and {second} cannot be given together")
    field, option = _OPTIONS[named[0]]
    value = given[named[0]]
    if field == "json_schema":
        return replace(request, json_schema=_schema(value))
    if field in ("grammar", "lark"):
        value = _read(value, option)
    _refuse(option, FAULTS[field](value))
    return replace(request, **{field: value})


def _schema(given: str) -> dict[str, Any]:
    text = given if given.lstrip().startswith("{") else _read(given, "--json-schema")
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as exc:
        why = json_fault(text, exc)
        raise click.UsageError(f"--json-schema: not a JSON object: {why}") from exc
    if twice := twice_in_json(text.encode()):
        raise click.UsageError(f"--json-schema: {twice[0]!r} stands in one object twice; keep one")
    if not isinstance(schema, dict):
        raise click.UsageError(f"--json-schema: not a JSON object but {shown(schema)}")
    _refuse("--json-schema", fault_of_schema(schema))
    return schema


def _refuse(option: str, fault: str | None) -> None:
    if fault is not None:
        raise click.UsageError(f"{option}: it {fault}")


def _read(name: str, option: str) -> str:
    try:
        return Path(name).expanduser().read_text(encoding="utf-8")
    except OSError as exc:
        raise click.UsageError(f"{option}: {name} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise click.UsageError(f"{option}: {name} is not UTF-8: {exc.reason}") from exc
