# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from following import compiled, takes
from grammar_oracle import describes
from llama_cpp import llama_grammar
from modeld_llama_cpp.constraints.grammars.gbnf import read_gbnf
from modeld_llama_cpp.constraints.problem import ConstraintError

EXAMPLES = [name for name in dir(llama_grammar) if name.endswith("_GBNF")]

DESCRIBED = {
    'root ::= "a"': (["a"], ["", "b", "aa"]),
    'root ::= ""': ([""], ["a"]),
    "root ::=": ([""], ["a"]),
    'root ::= "a" | "bc"': (["a", "bc"], ["b", "abc"]),
    'root ::= "a" |\n  "b"': (["a", "b"], [""]),
    'root ::= ( "a"\n "b" # x\n )': (["ab"], ["a"]),
    '# x\n\nroot ::= a # y\r\na ::= "z"\r\n': (["z"], [""]),
    'root ::= "ab"*': (["", "ab", "abab"], ["a", "aba"]),
    'root ::= "ab"+': (["ab", "abab"], ["", "abb"]),
    'root ::= "a" "b"? "c"': (["ac", "abc"], ["abbc"]),
    'root ::= "a"{2}': (["aa"], ["a", "aaa"]),
    'root ::= "a"{2,}': (["aa", "aaaaa"], ["a"]),
    'root ::= "a"{ 1 , 2 } "b"{0}': (["a", "aa"], ["", "aaa", "ab"]),
    'root ::= ("a"{2}){2}': (["aaaa"], ["aa"]),
    'root ::= "x" ("a"?)?': (["x", "xa"], ["xaa"]),
    "root ::= [a-cx]": (["a", "b", "c", "x"], ["d", "-"]),
    "root ::= [^a-c]": (["d", "\n", "\U0001f600"], ["a", "b"]),
    "root ::= [-a] [a-]": (["--", "aa"], ["b-"]),
    r"root ::= [\]\[\\\-\x41\u00e9\U0001F600]": ([*"][\\-Aé\U0001f600"], ["B"]),
    r"root ::= [\x00-\x02]": (["\1", "\2"], ["\3"]),
    r'root ::= "\t\r\n\"\\\x41"': (['\t\r\n"\\A'], []),
    "root ::= .": (["a", "\n"], ["", "ab"]),
    'root ::= root-2\nroot-2 ::= "é"': (["é"], ["e"]),
    'root ::= "(" root ")" | "x"': (["x", "((x))"], ["(x", "()"]),
    'root ::= root "a" | "b"': (["b", "baa"], ["", "a", "ab"]),
    'root ::= a\na ::= b "x" | "y"\nb ::= a "z" | "y"': (["y", "yx", "yzx"], ["yz"]),
    'root ::= ("a"*)*': (["", "aa"], ["b"]),
    'root ::= ("a"? "b"?)+ "c"': (["c", "abbac"], ["ab"]),
    'root ::= ("-"?){0,20} "x"': (["x", "--x", "-" * 20 + "x"], ["-" * 21 + "x"]),
}

FAULTS = {
    "": "there is no rule `root`",
    'a ::= "b"': "there is no rule `root`",
    "root ::= (((": "expected `)` for the `(` of line 1, column 12, found the end",
    'root ::= "a" )': "expected the end of the line, found `)`, line 1, column 14",
    'root = "a"': "expected `::=`, found `=`, line 1, column 6",
    'root ::= "a"\n_b ::= "a"': "expected the name of a rule (letters, digits and `-`), found `_`,"
    " line 2, column 1",
    "root ::= a\n": "rule `a` is not defined, line 1, column 10",
    'root ::= "a"\nroot ::= "b"': "rule `root` is defined twice, line 2, column 1",
    'root ::= "a': 'the `"` that ends this text is missing, line 1, column 10',
    "root ::= [a": "the `]` that ends this set is missing, line 1, column 10",
    "root ::= []": "this set has no characters, line 1, column 10",
    r"root ::= [\x00]": "this set has no characters",
    "root ::= [z-a]": "this set has a range that ends before it begins, line 1, column 10",
    r'root ::= "\q"': "unknown escape, line 1, column 11",
    r'root ::= "\x4"': "unknown escape, line 1, column 11",
    r'root ::= "\u00"': "unknown escape, line 1, column 11",
    r'root ::= "\x00"': "U+0000 is no character that a text can have, line 1, column 11",
    'root ::= "\0"': "U+0000 is no character that a text can have, line 1, column 11",
    r'root ::= "\ud800"': "U+D800 is no character that a text can have",
    r'root ::= "\UFFFFFFFF"': "U+FFFFFFFF is no character that a text can have",
    "root ::= *": "there is nothing before it that could be repeated, line 1, column 10",
    'root ::= ""+': "there is nothing before it that could be repeated, line 1, column 12",
    'root ::= "a"{': "expected a number, found the end",
    'root ::= "a"{,2}': "expected a number, found `,`",
    'root ::= "a"{2;': "expected `}`, found `;`",
    'root ::= "a"{3,2}': "at most 2 times is less than at least 3",
    'root ::= "a"{2001}': "more than 2000 repetitions are not allowed, line 1, column 14",
    'root ::= "a"{0,99999999999999999999}': "more than 2000 repetitions are not allowed",
    "root ::= " + "(" * 51: "groups are nested more than 50 deep, line 1, column 60",
    'root ::= (("a"{1,100} "b"){1,100} "c"){1,100}': "repetitions inside one another come to"
    " 1000000; at most 10000 are allowed, line 1, column 39",
    "root ::= <think>": "tokens (`<…>`) are not supported; write their text, line 1, column 10",
    'root ::= "a"\0': "expected the end of the line, found '\\x00'",
    'root ::= "a"\n\n  x': "expected `::=`, found the end, line 3, column 4",
    "root ::= !<[5]>": "tokens (`<…>`) are not supported; write their text, line 1, column 10",
    'root ::= "a" root': "rule `root` (line 1, column 1) never comes to an end",
    'root ::= "a" b?\nb ::= "c" b+': "rule `b` (line 2, column 1) never comes to an end",
}


@pytest.mark.parametrize("source", DESCRIBED)
def test_a_grammar_describes_what_it_says(source: str) -> None:
    fitting, others = DESCRIBED[source]
    rules, grammar = read_gbnf(source), compiled("grammar", source)
    for text in (*fitting, *others):
        assert describes(rules, text) == (text in fitting), text
        assert takes(grammar, text) == (text in fitting), text


@pytest.mark.parametrize("source", FAULTS, ids=lambda source: source[:30] or "empty")
def test_a_fault_is_named_with_its_position(source: str) -> None:
    with pytest.raises(ConstraintError) as failure:
        read_gbnf(source)
    assert FAULTS[source] in str(failure.value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_llama_cpp_are_taken(name: str) -> None:
    assert compiled("grammar", getattr(llama_grammar, name))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("JSON_GBNF", '{"a": [1, -2.5e3, "x\\u00e9", {"b": null}], "c": true}'),
        ("JSON_ARR_GBNF", '[\n"a",\n{"b": 1}]'),
        ("ARITHMETIC_GBNF", "x1 +(2*y )=7\n"),
        ("LIST_GBNF", "- one\n- two\n"),
        ("C_GBNF", "int f(int a){int b = a+1;return b+2;}"),
    ],
)
def test_the_examples_of_llama_cpp_describe_what_they_are_for(name: str, text: str) -> None:
    source = getattr(llama_grammar, name)
    assert takes(compiled("grammar", source), text) == describes(read_gbnf(source), text)
    assert takes(compiled("grammar", source), text)
