# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
import re
from random import Random

import pytest
from grammar_texts import Texts
from modeld_llama_cpp.grammar_check import checked
from modeld_llama_cpp.json_rules import QUOTE, JsonRules
from modeld_llama_cpp.pattern import read_pattern
from modeld_llama_cpp.rules import ROOT, GrammarError, Rules

PATTERNS = [
    "^$",
    "^abc$",
    "abc",
    "^abc",
    "abc$",
    "^a|b$",
    "^(a|bc)*$",
    "^(?:a|b){2,3}?c+?$",
    r"^\d{3}-\w+\s?\S$",
    r"^\D\W$",
    r"^[^\d]$",
    "^[a-z0-9_.-]+@[a-z]+\\.(com|org)$",
    r"^[\]\[\-\\^]+$",
    r"^\\\"\n\t\x01\u00e9$",
    r'^["\\]{2}$',
    "^.{0,5}$",
    "^[^a]{3}$",
    r"^\/\*\{\}\(\)\.\+\?\^\$\|$",
    "^a{2}b{0}c{1,}$",
    "^é\U0001f600?$",
]

FAULTS = {
    "(": "a `)` is missing, at character 2",
    ")": "`)` cannot be here",
    "a)b": "`)` cannot be here",
    "[": "a `]` is missing",
    "[]": "a set has no characters",
    "[b-a]": "a range has no valid bounds",
    r"[\d-z]": "a range has no valid bounds",
    "*": "`*` cannot be here, at character 1",
    "a**": "`*` cannot be here, at character 3",
    "a{": "`{` is not followed by numbers and `}`",
    "a{,3}": "`{` is not followed by numbers and `}`",
    "a{3,1}": "a repetition has bounds in the wrong order",
    "a{2001}": "more than 2000 repetitions are not allowed",
    "a{0,9999999999}": "more than 2000 repetitions are not allowed",
    "a^b": "`^` cannot be here",
    "a$b": "`b` cannot be here",
    "(^a)": "`^` cannot be here",
    "(?=a)": "groups with `(?`, but for `(?:`, are not supported, at character 2",
    "(?P<x>a)": "groups with `(?`",
    r"\bword": r"`\b` is not supported",
    r"(a)\1": r"`\1` is not supported",
    r"\p{L}": r"`\p` is not supported",
    "\\": "is not supported",
    r"\x4": "an escape has too few digits",
    r"\ud800": "characters must be whole",
    "\ud800": "characters must be whole",
    "(" * 51 + ")" * 51: "groups are nested more than 50 deep",
    "a" * 501: "$.pattern has 501 characters; at most 500 are allowed",
}


def rules_of(pattern: str) -> Rules:
    rules = Rules()
    inner = read_pattern(pattern, rules, JsonRules(rules), "$.pattern")
    rules.define(ROOT, [(*QUOTE, rules.add(inner, "$.pattern"), *QUOTE)], "$")
    return rules


@pytest.mark.parametrize("pattern", PATTERNS)
def test_strings_match_their_pattern(pattern: str) -> None:
    rules = rules_of(pattern)
    for seed in range(60):
        text = Texts(rules, Random(seed)).make()
        assert re.search(pattern, json.loads(text)), text
    assert checked(rules)


@pytest.mark.parametrize("pattern", FAULTS, ids=lambda pattern: ascii(pattern[:20]))
def test_a_fault_is_named_with_its_place(pattern: str) -> None:
    with pytest.raises(GrammarError) as failure:
        rules_of(pattern)
    assert FAULTS[pattern] in str(failure.value)


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|a?)+$", "^(a*)*$", "(x+x+)+y", r"^(\w|a\d?)+$"]
)
def test_a_pattern_that_many_ways_fit_is_refused(pattern: str) -> None:
    with pytest.raises(GrammarError, match=r"\$.pattern .*(too many ways|can be empty)"):
        checked(rules_of(pattern))
