# SPDX-License-Identifier: GPL-3.0-only
"""What an answer in the terminal must conform to: a grammar or a JSON schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from modeld.httpapi.constraint_limits import fault_of_grammar, fault_of_schema
from modeld.values import GenerateRequest


def constrained(
    request: GenerateRequest, grammar_file: str | None, json_schema: str | None
) -> GenerateRequest:
    """``request`` with a grammar from a file, or a schema as JSON or from a file.

    Raises:
        click.UsageError: both are given, or one cannot be used; the message names the option.
    """
    if grammar_file is not None and json_schema is not None:
        raise click.UsageError("--grammar-file and --json-schema cannot be given together")
    if grammar_file is not None:
        return replace(request, grammar=_grammar(grammar_file))
    if json_schema is not None:
        return replace(request, json_schema=_schema(json_schema))
    return request


def _grammar(name: str) -> str:
    grammar = _read(name, "--grammar-file")
    _refuse("--grammar-file", fault_of_grammar(grammar))
    return grammar


def _schema(given: str) -> dict[str, Any]:
    text = given if given.lstrip().startswith("{") else _read(given, "--json-schema")
    try:
        schema = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as exc:
        raise click.UsageError(f"--json-schema: not a JSON object: {exc}") from exc
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
