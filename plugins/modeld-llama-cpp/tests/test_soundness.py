# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from modeld_llama_cpp.gbnf import read_gbnf
from modeld_llama_cpp.rules import GrammarError
from modeld_llama_cpp.soundness import check_soundness

SOUND = [
    'root ::= "a" root | "b"',
    'root ::= "a" (root "b")? ',
    'root ::= e\ne ::= "(" e ")" e | ""',
    'root ::= "a"* ("b" "c"*)+',
    'root ::= "a" (("b"?)?)?',
    "\n".join(["root ::= a0", *(f"a{i} ::= a{i + 1}" for i in range(1000)), 'a1000 ::= "x"']),
]

UNSOUND = {
    'root ::= root "a" | "b"': "rule `root` (line 1, column 1) begins with itself",
    'root ::= a\na ::= b "x" | "y"\nb ::= a "z" | "y"': "rule `a` (line 2, column 1) begins with"
    " itself, by way of rule `b` (line 3, column 1)",
    'root ::= a\na ::= b a "x" | "y"\nb ::= "z"?': "rule `a` (line 2, column 1) begins with itself",
    'root ::= a\na ::= "z"* a "x" | "y"': "begins with itself",
    'root ::= "x" | (b root)\nb ::= "" | "z"': "begins with itself",
    'root ::= ("a"*)*': "repeats something that can be empty",
    'root ::= ("a"? "b"?)+': "repeats something that can be empty",
    'root ::= a{0,5}\na ::= b\nb ::= ""': "repeats something that can be empty",
    'root ::= "a" root': "rule `root` (line 1, column 1) never comes to an end",
    'root ::= "a"\nb ::= "c" b+': "rule `b` (line 2, column 1) never comes to an end",
}


@pytest.mark.parametrize("source", SOUND, ids=range(len(SOUND)))
def test_a_sound_grammar_passes(source: str) -> None:
    check_soundness(read_gbnf(source))


@pytest.mark.parametrize("source", UNSOUND)
def test_an_unsound_grammar_is_refused(source: str) -> None:
    with pytest.raises(GrammarError) as failure:
        check_soundness(read_gbnf(source))
    assert UNSOUND[source] in str(failure.value)
