# SPDX-License-Identifier: GPL-3.0-only
"""Which grammars would keep llama.cpp busy; that they would is shown in test_grammar_native.py."""

from __future__ import annotations

from random import Random

import pytest
from grammar_texts import Reading, Texts
from hypothesis import given, settings
from hypothesis import strategies as st
from modeld_llama_cpp.ambiguity import check_ambiguity
from modeld_llama_cpp.factoring import factor
from modeld_llama_cpp.gbnf import read_gbnf
from modeld_llama_cpp.machine import Machine
from modeld_llama_cpp.rules import GrammarError, Rules
from modeld_llama_cpp.soundness import check_soundness

TAME = {
    "a list of ambiguous numbers": 'root ::= n ("," n){0,500}\nn ::= [0-9] | [1-9] [0-9]{0,15}',
    "white space in two places": 'root ::= ws ("{" ws ws "}" ws)*\nws ::= [ \\t\\n]*',
    "white space that may be part of what follows": 'root ::= ("a" ws "\\n")+\nws ::= [ \\n]*',
    "naive arithmetic": 'root ::= t "+" root | t\nt ::= f "*" t | f\nf ::= "(" root ")" | [0-9]+',
    "a keyword that could be a name": 'root ::= s\ns ::= "if(" e "){" s "}" | [a-z]+ "(" e ");"\n'
    'e ::= [a-z]+ | [a-z]+ "(" e ")"',
    "the same beginning before free text": 'root ::= v "x" | v "y"\nv ::= "(" v ")" | [a-z]',
    "a marker in free text": "root ::= [a-z]* [x] [a-z]*",
    "a short run that ends anywhere": "root ::= [a-z]{0,30} [a-z0-9]{0,30}",
    "2,000 of many kinds": 'root ::= ([^"\\\\] | "\\\\" ["\\\\/bfnrt]){0,2000}',
}

WILD = {
    "nesting with two ends": 'root ::= a | b | "x"\na ::= "(" root ")"\nb ::= "(" root "]"',
    "two kinds of nesting": 'root ::= s\ns ::= "a" s "b" | t\nt ::= "a" t "c" | "d"',
    "ways that part and meet": 'root ::= (x | [-a])*\nx ::= "-"',
    "repetition in repetition": 'root ::= (("-"{2,9}){2,9}',
    "one or more, once or more": 'root ::= ("-"+)+ "x"',
    "a sum of ones and twos": 'root ::= ("a" | "aa"){0,100}',
    "two long runs": "root ::= [a-z]{0,2000} [a-z]{0,2000}",
    "much white space": "root ::= ws ws ws ws\nws ::= [ ]*",
    "left or right": 'root ::= "a" root? root? | "b"',
    "too many alternatives": "root ::= "
    + " | ".join(f'[\\U{0x10000 + i:08X}] "{i % 10}" n{i}' for i in range(129))
    + "".join(f'\nn{i} ::= "{i}"' for i in range(129)),
}
WILD["repetition in repetition"] += ")"


def prepared(source: str) -> Rules:
    rules = read_gbnf(source)
    check_soundness(rules)
    rules.keep_reachable()
    factor(rules)
    return rules


@pytest.mark.parametrize("source", TAME.values(), ids=TAME)
def test_a_tame_grammar_passes(source: str) -> None:
    check_ambiguity(Machine(prepared(source)))


@pytest.mark.parametrize("source", WILD.values(), ids=WILD)
def test_a_wild_grammar_is_refused(source: str) -> None:
    with pytest.raises(GrammarError, match=r"can be read in too many ways|129 ways"):
        check_ambiguity(Machine(prepared(source)))


def test_the_refusal_names_the_rule() -> None:
    with pytest.raises(GrammarError, match=r"^from rule `s` \(line 2, column 1\) on, one text"):
        check_ambiguity(Machine(prepared(WILD["two kinds of nesting"])))


ATOMS = st.sampled_from(['"a"', '"b"', '"("', "[ab]", "[^b]", '"ab"', ".", "r0", "r1", "root"])
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(" ".join),
        st.lists(inner, min_size=2, max_size=3).map(" | ".join).map("({})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{0,9}", "{2,4}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)
GRAMMARS = st.tuples(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS).map(
    lambda three: "\n".join(f"{n} ::= {e}" for n, e in zip(("root", "r0", "r1"), three))  # noqa: B905
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(source=GRAMMARS)
def test_no_text_of_a_grammar_that_passes_has_many_ways(source: str) -> None:
    try:
        rules = prepared(source)
        check_ambiguity(Machine(rules))
    except GrammarError:
        return
    for seed in range(5):
        reading = Reading(rules)
        for char in Texts(rules, Random(seed)).make()[:200]:
            assert reading.read(char)
            assert len(reading.stacks) <= 256
