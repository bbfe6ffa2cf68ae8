# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/plugins.md has every hook and every interface with its exact signature."""

from __future__ import annotations

import ast
import inspect
import re
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest

import modeld
from modeld import events, hookspecs, interfaces
from tests.docs.pages import blocks, headings, read, rows, section

HOOKS = [name for name in vars(hookspecs) if name.startswith("modeld_")]
INTERFACES = (
    "Backend",
    "EngineHost",
    "SimpleEngine",
    "StepEngine",
    "Engine",
    "RegistrySource",
    "EvictionPolicy",
    "OutputFormatter",
    "Observer",
    "ModelService",
)


def parsed(module: ModuleType) -> ast.Module:
    assert module.__file__ is not None
    return ast.parse(Path(module.__file__).read_text())


def functions(body: list[ast.stmt]) -> dict[str, str]:
    """Name to signature of all public functions, as the parser writes them."""
    return {
        node.name: f"{type(node).__name__} {ast.unparse(node.args)} -> "
        f"{ast.unparse(node.returns) if node.returns else None}"
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_"
    }


def attributes(body: list[ast.stmt]) -> dict[str, str]:
    """Name to declaration of all public attributes."""
    return {
        name: ast.unparse(node)
        for node in body
        if isinstance(node, ast.AnnAssign | ast.Assign)
        for name in [
            ast.unparse(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])
        ]
        if name[0] != "_"
    }


def shown() -> list[ast.stmt]:
    """All that the page's Python says."""
    return [
        node
        for block in blocks("python", "reference/plugins.md")
        for node in ast.parse(block.text).body
    ]


def classes(body: list[ast.stmt]) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}


def test_every_hook_has_a_heading() -> None:
    assert [
        heading for heading in headings("reference/plugins.md") if heading.startswith("modeld_")
    ] == HOOKS


def test_every_hook_is_shown_with_its_exact_signature() -> None:
    assert functions(shown()) == functions(parsed(hookspecs).body)


@pytest.mark.parametrize("hook", HOOKS)
def test_what_a_hook_is_for_is_said_below_its_heading(hook: str) -> None:
    text = section("reference/plugins.md", hook)
    doc = (inspect.getdoc(getattr(hookspecs, hook)) or "").replace("``", "`")
    first = re.split(r"[.;,]", doc)[0]
    assert first in text


@pytest.mark.parametrize("name", INTERFACES)
def test_an_interface_is_shown_as_it_is(name: str) -> None:
    real, said = classes(parsed(interfaces).body)[name], classes(shown())[name]
    assert functions(said.body) == functions(real.body)
    assert attributes(said.body) == attributes(real.body)
    assert name in headings("reference/plugins.md")


def test_every_interface_of_the_public_door_is_shown() -> None:
    public = {
        name
        for name in modeld.__all__
        if getattr(getattr(modeld, name), "__module__", "") == interfaces.__name__
    }
    assert public - {"Candidate", "PublicRoute"} == set(INTERFACES)


def test_every_event_is_listed_with_its_members() -> None:
    found = {
        row[0]: row[1]
        for row in rows(section("reference/plugins.md", "Events"))
        if row[0].startswith("`")
    }
    kinds: tuple[Any, ...] = get_args(events.Event)
    assert found == {
        f"`{kind.__name__}`": ", ".join(f"`{name}`" for name in kind.__struct_fields__)
        for kind in kinds
    }


def test_every_built_in_plugin_is_listed() -> None:
    built_in = {
        entry.name
        for entry in entry_points(group="modeld")
        if entry.value.startswith("modeld.builtin.")
    }
    listed = set(re.findall(r"^\| `([\w-]+)` \| the ", read("reference/plugins.md"), re.MULTILINE))
    assert listed == built_in
