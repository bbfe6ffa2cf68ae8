# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from random import Random

import pytest
from grammar_texts import Reading, Texts, describes
from modeld_llama_cpp.factoring import factor
from modeld_llama_cpp.gbnf import read_gbnf

SOURCES = [
    'root ::= "car" | "cat" | "dog" | "do" | "car"',
    'root ::= t "+" root | t\nt ::= "(" root ")" | [0-9]',
    'root ::= ([a-c] "x" | "b" "x" | "b" "y")*',
    'root ::= "a" "b"? "c" | "a" "b"? "d" | "a"',
]


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_grammar_describes_stays_the_same(source: str) -> None:
    before, after = read_gbnf(source), read_gbnf(source)
    factor(after)
    for seed in range(50):
        assert describes(after, Texts(before, Random(seed)).make())
        assert describes(before, Texts(after, Random(seed)).make())


def test_words_have_as_many_ways_as_first_letters() -> None:
    words = [f"{first}{number}" for first in "abc" for number in range(300)]
    rules = read_gbnf("root ::= " + " | ".join(f'"{word}"' for word in words))
    factor(rules)
    assert len(Reading(rules).stacks) == 1
    assert all(describes(rules, word) for word in words[::50])


def test_alternatives_that_begin_alike_become_one_way() -> None:
    rules = read_gbnf('root ::= t "+" root | t "-" root | t\nt ::= "(" root ")" | "x"')
    factor(rules)
    reading = Reading(rules)
    assert reading.read("(" * 50)
    assert len(reading.stacks) == 2
