# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import re
from random import Random

import pytest
from following import compiled, follow, takes, walk
from modeld_llama_cpp.constraints.grammars.pattern import read_pattern
from modeld_llama_cpp.constraints.problem import ConstraintError

PATTERNS = [
    "^$",
    "^abc$",
    "^abc",
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
    "^(?<year>[0-9]{4})-(?P<month>[0-9]{2})$",
    r"^[^\\s]+$",
    r"^\\S+ \\S+$",
    r"^\\ud83d\\ude00$",
    "^^a$$",
    "^[[a]$",
    "^[a&&b]$",
    "^[a-z--b]$",
]

FAULTS = {
    "(": "a `)` is missing, at character 2",
    ")": "`)` cannot be here",
    "a)b": "`)` cannot be here",
    "[": "a `]` is missing",
    "[]": "a set has no characters",
    "[b-a]": "a range has no valid bounds",
    "*": "`*` cannot be here, at character 1",
    "a**": "`*` cannot be here, at character 3",
    "a{": "`{` is not followed by numbers and `}`",
    "a{,3}": "`{` is not followed by numbers and `}`",
    "a{3,1}": "a repetition has bounds in the wrong order",
    "a{10001}": "more than 10000 repetitions are not allowed",
    "a{0,9999999999}": "more than 10000 repetitions are not allowed",
    "a^b": "`^` cannot be here",
    "a$b": "`b` cannot be here",
    "(^a)": "`^` cannot be here",
    "(?=a)": "groups with `(?` are not supported, but for `(?:` and names, at character 2",
    "(?<=a)b": "groups with `(?`",
    "(?i)a": "groups with `(?`",
    r"\bword": r"`\b` is not supported",
    r"(a)\1": r"`\1` is not supported",
    r"\p{L}": r"`\p` is not supported",
    "\\": "is not supported",
    r"\x4": "an escape has too few digits",
    r"\ud800": "characters must be whole",
    "\ud800": "characters must be whole",
    "(" * 51 + ")" * 51: "groups are nested more than 50 deep",
    "a" * 4097: "$.pattern: it has 4097 characters; at most 4096 are allowed",
    "((a{1,100}b){1,100}c){1,100}": "repetitions inside one another come to 1000000",
}


WITHOUT_NAMES = {"^(?<year>[0-9]{4})-(?P<month>[0-9]{2})$": "^[0-9]{4}-[0-9]{2}$"}
OF_JAVASCRIPT = {r"^\ud83d\ude00$": "^\U0001f600$", "^[[a]$": r"^[\[a]$", "^[a&&b]$": "^[a&b]$"}
OF_JAVASCRIPT["^[a-z--b]$"] = r"^[a-z\--b]$"


def texts_of(pattern: str, count: int = 40) -> set[str]:
    grammar = compiled("regex", pattern)
    return {text for seed in range(count) if (text := walk(grammar, Random(seed), 80)) is not None}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_texts_match_their_pattern(pattern: str) -> None:
    read = re.compile(OF_JAVASCRIPT.get(pattern) or WITHOUT_NAMES.get(pattern) or pattern)
    grammar = "start: T\nT: /" + read_pattern(pattern, "$.pattern") + "/"
    found = {text for seed in range(40) if (text := walk(grammar, Random(seed), 80)) is not None}
    assert found
    for text in found:
        assert read.search(text), text


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("abc", ["abc", "xabcx", "\nabc\n"], ["ab", ""]),
        ("abc$", ["abc", "xabc"], ["abcx", "abc\n"]),
        ("[a-z]{2,}/[^/]", ["ab/c", "Xabc/dX"], ["a/b", "ab//"]),
        (".", ["a"], ["", "\r", "\u2028"]),
        (r"^\d$", ["1"], ["٣"]),
    ],
)
def test_a_pattern_may_match_anywhere(pattern: str, fitting: list[str], others: list[str]) -> None:
    grammar = "start: T\nT: /" + read_pattern(pattern, "$.pattern") + "/"
    assert [text for text in fitting if not takes(grammar, text)] == []
    assert [text for text in others if takes(grammar, text)] == []


@pytest.mark.parametrize("pattern", FAULTS, ids=lambda pattern: ascii(pattern[:20]))
def test_a_fault_is_named_with_its_position(pattern: str) -> None:
    with pytest.raises(ConstraintError) as failure:
        read_pattern(pattern, "$.pattern")
    assert FAULTS[pattern] in str(failure.value)


def test_a_regex_of_a_request_is_about_the_whole_generation() -> None:
    grammar = compiled("regex", "[a-c]+/[0-9]{2}|x")
    assert takes(grammar, "abc/12")
    assert takes(grammar, "x")
    assert not takes(grammar, "abc/123")
    assert not takes(grammar, "zabc/12")


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|a?)+$", "^(a*)*$", "(x+x+)+y", r"^(\w|a\d?)+$"]
)
def test_a_pattern_that_many_ways_fit_costs_nothing(pattern: str) -> None:
    assert follow(compiled("regex", pattern)).try_consume_tokens(list(b"a" * 200)) >= 0
    assert all(re.search(pattern, text[:20] + text[20:]) for text in texts_of(pattern, 5))
