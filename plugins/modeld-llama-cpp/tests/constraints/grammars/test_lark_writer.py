# SPDX-License-Identifier: GPL-3.0-only
"""What a GBNF grammar describes, and what llguidance allows under the Lark that is made of it."""

from __future__ import annotations

from random import Random

import llguidance
import pytest
from following import compiled, takes, walk
from grammar_oracle import Texts, describes
from hypothesis import given, settings
from hypothesis import strategies as st
from modeld_llama_cpp.constraints.grammars.gbnf import read_gbnf
from modeld_llama_cpp.constraints.grammars.lark_writer import write_lark
from modeld_llama_cpp.constraints.problem import ConstraintError

ATOMS = st.sampled_from(
    ['"a"', '"b"', '"("', "[ab]", "[^b]", '"ab"', '"abc"', ".", "r0", "r1", "root", '"é"', "[è-ë]"]
)
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
    lambda three: "\n".join(
        f"{name} ::= {each}" for name, each in zip(("root", "r0", "r1"), three, strict=True)
    )
)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(source=GRAMMARS, seed=st.integers(0, 1000))
def test_llguidance_allows_what_a_grammar_describes_and_nothing_else(
    source: str, seed: int
) -> None:
    try:
        rules = read_gbnf(source)
    except ConstraintError:  # one of the rules never ends
        return
    grammar = llguidance.LLMatcher.grammar_from_lark(write_lark(rules))
    for number in range(4):  # short texts: llguidance gives up where there are thousands of ways
        random = Random(seed + number)
        text = Texts(rules, random).make()[:14]
        changed = list(text)
        if changed:
            changed[random.randrange(len(changed))] = random.choice("ab(éx")
        for each in (text, "".join(changed)):
            assert takes(grammar, each) == describes(rules, each), each
        walked = walk(grammar, random, 14)
        assert walked is None or describes(rules, walked), walked


TOGETHER = {
    "a word and a longer one": ('root ::= ("ab" "cd" | "abc" "x") ";" root | "."', "abcd;abcx;."),
    "a run and its last sign": ('root ::= [a-z]+ "x" "(" root ")" | "y"', "abx(cxx(y))"),
    "names and words": (
        'root ::= s+\ns ::= "if(" n "){" s "}" | n "(" n ");"\nn ::= [a-z]+',
        "if(x){if(ab);}iff(x);",
    ),
    "white space twice": ('root ::= "(" ws ws root ws ")" | "x"\nws ::= [ ]*', "(  ( x)  )"),
    "characters with the same first byte": (
        'root ::= "a" "中" root | "a" "丯" "b" root | "z"', "a中a丯bz",
    ),
    "left recursion": ('root ::= root "," n | n\nn ::= [0-9]+', "1,22,333"),
    "recursion in the middle": ('root ::= "a" root? "b"', "aaabbb"),
    "nothing in a repetition": ('root ::= ("a"? "("? root? ")"?){2,3} | "z"', "a(z)"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOGETHER)
def test_what_a_lexer_would_read_too_greedily_is_read(name: str) -> None:
    source, text = TOGETHER[name]
    assert describes(read_gbnf(source), text)
    assert takes(compiled("grammar", source), text)


def test_a_grammar_without_recursion_becomes_one_terminal() -> None:
    source = 'root ::= item ("," item)*\nitem ::= "a" [0-9]{1,3} | word\nword ::= [b-z]+'
    assert write_lark(read_gbnf(source)).count("/") == 2


def test_rules_that_only_repeat_become_repetitions() -> None:
    source = 'root ::= "x" ws root | "y"\nws ::= ([ \\t] ws)?'
    assert "{0,}" in write_lark(read_gbnf(source))
