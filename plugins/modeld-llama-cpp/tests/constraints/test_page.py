# SPDX-License-Identifier: GPL-3.0-only
"""The page about constraints says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from modeld_llama_cpp.constraints import compiler
from modeld_llama_cpp.constraints.grammars import gbnf, lark_check, lark_writer, pattern
from modeld_llama_cpp.constraints.json_schema import one_of, plain, schema_text, writer
from modeld_llama_cpp.constraints.json_schema.keywords import (
    ANNOTATIONS,
    APPLICATORS,
    HARMLESS,
    KEPT,
    SELDOM_KEPT,
)
from modeld_llama_cpp.constraints.json_schema.texts import FORMATS
from modeld_llama_cpp.constraints.matching import cache

PAGE = (Path(__file__).parents[4] / "docs" / "reference" / "constraints.md").read_text()

LIMITS = {
    "size of a schema as JSON": f"{compiler.MAX_SCHEMA_BYTES:,} bytes",
    "size of a grammar": f"{compiler.MAX_GRAMMAR_BYTES:,} bytes",
    "characters of a pattern": f"{pattern.MAX_LENGTH:,}",
    "size of all choices together": f"{compiler.MAX_CHOICE_BYTES:,} bytes",
    "objects and arrays inside one another": f"{schema_text.MAX_DEPTH}",
    "objects and arrays in all": f"{schema_text.MAX_NODES:,}",
    "schemas once references and choices are laid out": f"{writer.MAX_WRITTEN:,}",
    "branches of `oneOf` that are compared with each other, in pairs": f"{one_of.MAX_COMPARISONS}",
    "rules that are left once those without recursion are merged": f"{lark_writer.MAX_RULES:,}",
    "repetitions": f"{lark_check.MAX_REPEATS:,}",
    "how deep all rules and groups come to together": f"{lark_check.MAX_DEPTH:,}",
}


def rows(*heads: str) -> dict[str, str]:
    """The rows of the table with these heads."""
    _, found, rest = PAGE.partition(f"| {' | '.join(heads)} |\n")
    assert found
    table = rest.partition("\n\n")[0].splitlines()[1:]
    return dict(line.removeprefix("| ").removesuffix(" |").split(" | ", 1) for line in table)


def test_each_keyword_stands_in_the_table_with_how_it_is_kept_to() -> None:
    known = {f"`{name}`": how for name, how in (KEPT | APPLICATORS | SELDOM_KEPT).items()}
    assert rows("keyword", "how it is kept to") == known


def test_no_keyword_is_of_two_sorts() -> None:
    sorts = [set(KEPT), set(APPLICATORS), set(SELDOM_KEPT), set(ANNOTATIONS)]
    assert len(set().union(*sorts)) == sum(map(len, sorts))
    assert HARMLESS.keys() <= SELDOM_KEPT.keys()


def test_each_kind_stands_in_the_table() -> None:
    kinds = rows("kind", "what it is", "what the generation is")
    assert list(kinds) == [f"`{kind}`" for kind in compiler.KINDS]


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_is_told(name: str) -> None:
    assert f"| {name} | {LIMITS[name]} |\n" in PAGE


def test_the_limits_of_patterns_and_grammars_are_told_apart() -> None:
    of_patterns = PAGE.partition("## Patterns")[2].partition("## ")[0]
    of_gbnf = PAGE.partition("## Grammars in GBNF")[2].partition("## ")[0]
    for text, module in ((of_patterns, pattern), (of_gbnf, gbnf)):
        assert f"| groups inside one another | {module.MAX_NESTING} |" in text
        assert f"| repetitions with an upper bound | {module.MAX_REPEATS:,} |" in text
        assert f"| product of repetitions inside one another | {module.MAX_PRODUCT:,} |" in text


def test_each_format_and_other_numbers_are_told() -> None:
    listed = PAGE.partition("These formats are kept to: ")[2].partition(".")[0]
    assert re.findall(r"`([a-z\d-]+)`", listed) == FORMATS
    assert f"up to {plain.MAX_PATTERNS} patterns" in KEPT["patternProperties"]
    assert KEPT["minItems"].startswith(f"up to {plain.MAX_ITEMS:,}")
    assert f"{cache.MAX_BYTES >> 20} MiB of them" in PAGE
