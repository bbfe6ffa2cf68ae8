# SPDX-License-Identifier: GPL-3.0-only
"""The architecture page names parts that exist, and tests that show each of the fifteen rules."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.docs.pages import ROOT, blocks, rows, section

RULES = 15
HELPERS = {"__init__.py", "error_kinds.py"}


def shown() -> list[tuple[int, list[str]]]:
    """Return the number of each rule and the tests that are named beside it."""
    table = rows(section("explanation/architecture.md", "The fifteen rules"))
    return [
        (int(rule.partition(".")[0]), re.findall(r"`([^`]+)`", tests))
        for rule, tests in table
        if rule[0].isdigit()
    ]


def test_there_are_fifteen_rules_in_their_order() -> None:
    assert [number for number, _ in shown()] == list(range(1, RULES + 1))


@pytest.mark.parametrize(("number", "tests"), shown())
def test_each_rule_is_shown_by_tests_that_exist(number: int, tests: list[str]) -> None:
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
        if found := re.match(r"test_rule_(\d+)_", name):
            assert int(found[1]) == number


@pytest.mark.parametrize(
    ("first", "contract"),
    [
        ("cli", "imports point downwards only"),
        ("service", "the rooms of serving import downwards only"),
        ("host", "the rooms of hosting import downwards only"),
        ("backend", "the rooms of the llama.cpp plugin import downwards only"),
    ],
)
def test_the_order_of_imports_is_that_of_the_contract(first: str, contract: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [each["layers"] for each in contracts["contracts"] if each["name"] == contract]
    (said,) = [
        block.text
        for block in blocks("text", "explanation/architecture.md")
        if block.text.startswith(f"{first} → ")
    ]
    order = [name for layer in said.strip().split(" → ") for name in layer.split(", ")]
    real = [re.findall(r"(?:modeld\.)?(\w+)", layer) for layer in layers]
    assert order == [name for layer in real for name in layer if name in order]
    helpers = {name.removesuffix(".py") for name in HELPERS}
    assert all(set(layer) & set(order) for layer in real if not set(layer) <= helpers)


def test_every_part_of_the_core_is_listed() -> None:
    parts = section("explanation/architecture.md", "The parts")
    for entry in sorted((ROOT / "modeld").iterdir()):
        if is_part(entry):
            assert f"`modeld/{entry.name}{'/' if entry.is_dir() else ''}`" in parts, entry.name


def is_part(entry: Path) -> bool:
    """Modules, but those that serve only the one beside them, and packages with something in."""
    if entry.is_dir():
        return len([*entry.glob("*.py")]) > 1
    return entry.suffix == ".py" and entry.name not in HELPERS
