# SPDX-License-Identifier: GPL-3.0-only
"""The pages on hooks, interfaces and plugins have each of them with its exact signature."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

import pytest

import modeld
from modeld import hookspecs, interfaces
from tests.support.docs.pages import blocks, headings, read, rows, section

HOOKS_PAGE = "reference/hooks.md"
INTERFACES_PAGE = "reference/interfaces.md"
HOOKS = [name for name in vars(hookspecs) if name.startswith("modeld_")]
POINTS = [
    "When is it called?",
    "What does it return?",
    "What if two bring the same?",
    "What if it fails?",
]
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


def shown(page: str) -> list[ast.stmt]:
    """Return all that a page's Python says."""
    return [node for block in blocks("python", page) for node in ast.parse(block.text).body]


def classes(body: list[ast.stmt]) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in body if isinstance(node, ast.ClassDef)}


def test_every_hook_has_a_heading() -> None:
    assert [each for each in headings(HOOKS_PAGE) if each.startswith("modeld_")] == HOOKS


def python_of(hook: str) -> list[ast.Module]:
    """The blocks of Python below a hook's heading."""
    found = re.findall(r"^```python\n(.*?)^```$", section(HOOKS_PAGE, hook), re.M | re.DOTALL)
    return [ast.parse(text) for text in found]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_shown_with_its_exact_signature_first(hook: str) -> None:
    first, *_ = python_of(hook)
    assert functions(first.body) == {hook: functions(parsed(hookspecs).body)[hook]}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_says_the_four_points(hook: str) -> None:
    header, *points = rows(section(HOOKS_PAGE, hook))
    assert header == ("point", "what holds")
    assert [point for point, _ in points] == POINTS
    assert all(said for _, said in points)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_an_example_that_implements_it_and_shows_what_it_does(hook: str) -> None:
    """tests/docs/test_blocks.py runs it."""
    _, *examples = python_of(hook)
    nodes = [node for example in examples for node in ast.walk(example)]
    (implementation,) = [
        node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == hook
    ]
    assert [ast.unparse(each) for each in implementation.decorator_list] == ["hookimpl"]
    assert any(isinstance(node, ast.Assert) for node in nodes)


@pytest.mark.parametrize("hook", HOOKS)
def test_what_a_hook_is_for_is_said_below_its_heading(hook: str) -> None:
    text = section(HOOKS_PAGE, hook)
    doc = (inspect.getdoc(getattr(hookspecs, hook)) or "").replace("``", "`")
    first = re.split(r"[.;,]", doc)[0]
    assert first in text


@pytest.mark.parametrize("name", INTERFACES)
def test_an_interface_is_shown_as_it_is(name: str) -> None:
    home = sys.modules[getattr(interfaces, name).__module__]
    real = classes(parsed(home).body)[name]
    said = classes(shown(INTERFACES_PAGE))[name]
    assert functions(said.body) == functions(real.body)
    assert attributes(said.body) == attributes(real.body)
    assert name in headings(INTERFACES_PAGE)


def test_every_interface_of_the_public_door_is_shown() -> None:
    public = set(modeld.__all__) & set(interfaces.__all__)
    assert public - {"Candidate", "PublicRoute"} == set(INTERFACES)


def test_every_built_in_plugin_is_listed() -> None:
    built_in = {
        entry.name
        for entry in entry_points(group="modeld")
        if entry.value.startswith("modeld.builtin.")
    }
    listed = set(re.findall(r"^\| `([\w-]+)` \| the ", read("reference/plugins.md"), re.MULTILINE))
    assert listed == built_in
