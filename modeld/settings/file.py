# SPDX-License-Identifier: GPL-3.0-only
"""Reads a settings file: YAML, JSON or TOML, by its suffix. No key may stand in it twice."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from modeld.errors import ConfigurationError
from modeld.expectation import json_fault, shown, twice_in_json

if TYPE_CHECKING:
    import yaml

_TOML_TABLE = re.compile(r"\s*\[([^\[\]]+)\]")
_TOML_KEY = re.compile(r"\s*([\w.*\"'-]+)\s*=")
_NO_SUCH_VALUE = (ValueError, LookupError, AttributeError)
"""What PyYAML lets through where a text is not of its tag, such as the date 2020-13-45."""


def read_file(config: str) -> dict[Any, Any]:
    """Return what the file says.

    Raises:
        ConfigurationError: it cannot be read, is not of its format, or has a key twice.
    """
    path = Path(config).expanduser()
    try:
        data = _parse(path, path.read_bytes())
    except OSError as exc:
        raise ConfigurationError(f"{config}: cannot be read: {exc.strerror}") from exc
    except RecursionError as exc:
        raise ConfigurationError(f"{config}: it is nested too deeply") from exc
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigurationError(f"{config}: expected a table of settings at the top")
    return data


def _parse(path: Path, content: bytes) -> object:
    """Decode by suffix. The parsers are imported here because a start needs at most one."""
    match path.suffix.lower():
        case ".yaml" | ".yml":
            return _yaml(path, content)
        case ".json":
            return _json(path, content)
        case ".toml":
            return _toml(path, content)
        case suffix:
            raise ConfigurationError(
                f"{path}: unknown kind of file {suffix!r}; use .yaml, .yml, .json or .toml"
            )


def _yaml(path: Path, content: bytes) -> object:
    import yaml  # noqa: PLC0415

    class Loader(yaml.SafeLoader):
        """Takes no key twice, and says of what a tag does not fit that it does not.

        The base class takes the last of several values, and lets Python's own errors through.
        """

        def construct_mapping(
            self,
            node: yaml.MappingNode,
            deep: bool = False,  # noqa: FBT001, FBT002  (the base class has it so)
        ) -> dict[Hashable, Any]:
            _refuse_twice(path, self, node)
            return super().construct_mapping(node, deep=deep)

        def construct_object(
            self,
            node: yaml.Node,
            deep: bool = False,  # noqa: FBT001, FBT002  (the base class has it so)
        ) -> Any:
            try:
                return super().construct_object(node, deep=deep)
            except _NO_SUCH_VALUE as exc:
                kind = node.tag.rpartition(":")[2]
                said = f"{shown(node.value)} is no {kind}"
                raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from exc

    try:
        return yaml.load(content, Loader)  # noqa: S506  (it is a safe loader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f" in line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{path}: not valid YAML{where}: {exc.problem}") from exc
    except yaml.reader.ReaderError as exc:
        said = f"{path}: not valid YAML: {exc.reason} at position {exc.position}"
        raise ConfigurationError(said) from exc


def _refuse_twice(path: Path, loader: yaml.SafeLoader, node: yaml.MappingNode) -> None:
    lines: dict[object, int] = {}
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if isinstance(key, Hashable):
            if key in lines:
                raise _twice(path, key, lines[key], line)
            lines[key] = line


def _json(path: Path, content: bytes) -> object:
    try:
        data = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise ConfigurationError(f"{path}: not valid JSON: {json_fault(content, exc)}") from exc
    if twice := twice_in_json(content):
        raise _twice(path, *twice)
    return data


def _toml(path: Path, content: bytes) -> object:
    import tomllib  # noqa: PLC0415

    try:
        text = content.decode()
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: not valid TOML: it is not UTF-8") from exc
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        if twice := _twice_in_toml(text):
            raise _twice(path, *twice) from exc
        said = str(exc)
        raise ConfigurationError(f"{path}: not valid TOML: {said[:1].lower()}{said[1:]}") from exc
    except ValueError as exc:  # Python reads no number of thousands of digits
        raise ConfigurationError(f"{path}: not valid TOML: a number is too long") from exc


def _twice_in_toml(text: str) -> tuple[str, int, int] | None:
    """Return a table or key that stands twice, with its lines, as far as plain lines tell."""
    seen: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _TOML_TABLE.match(line):
            table, key = found[1].strip(), ""
        elif found := _TOML_KEY.match(line):
            key = found[1]
        else:
            continue
        if (table, key) in seen:
            return key or table, seen[table, key], number
        seen[table, key] = number
    return None


def _twice(path: Path, key: object, first: int, second: int) -> ConfigurationError:
    where = f"in lines {first} and {second}" if first != second else f"in line {first}"
    return ConfigurationError(f"{path}: the key {str(key)!r} stands twice, {where}; keep one")
