# SPDX-License-Identifier: GPL-3.0-only
"""Grammars of requests, checked in a real process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from modeld_llama_cpp import (
    ambiguity,
    gbnf,
    json_rules,
    machine,
    pattern,
    rules,
    schema,
    schema_text,
)
from modeld_llama_cpp import grammar as grammar_module
from modeld_llama_cpp.grammar import GrammarReader

from modeld import GenerateRequest
from modeld.errors import InternalError, InvalidRequestError

BOMBS: dict[str, dict[str, Any]] = {
    "a syntax error": {"grammar": "root ::= ((("},
    "left recursion": {"grammar": 'root ::= root "a" | "b"'},
    "indirect left recursion": {"grammar": 'root ::= a | "x"\na ::= root "b"'},
    "left recursion through nothing": {"grammar": 'root ::= a root | "x"\na ::= "y"?'},
    "nested repetitions": {"grammar": 'root ::= (("a"{1,100}){1,100}){1,100}'},
    "many repetitions": {"grammar": 'root ::= ("a"{0,1900}){0,1900}'},
    "repetitions by name": {
        "grammar": 'root ::= a{1,100}\na ::= b{1,100}\nb ::= c{1,100}\nc ::= "x"{1,100}'
    },
    "a grammar over the limit": {"grammar": 'root ::= "' + "a" * 16384 + '"'},
    "deep nesting": {"grammar": "root ::= " + "(" * 8000 + '"a"' + ")" * 8000},
    "an undefined rule": {"grammar": "root ::= a"},
    "a missing root": {"grammar": 'a ::= "b"'},
    "an empty grammar": {"grammar": ""},
    "a NUL byte": {"grammar": 'root ::= "a\0b"'},
    "a lone surrogate": {"grammar": 'root ::= "\ud800"'},
    "a token": {"grammar": "root ::= <[5]>"},
    "exponentially many ways": {"grammar": "root ::= " + '("a"? "a"? "a"?){50}'},
    "optional things in a row": {"grammar": "root ::= " + '"a"? ' * 2000},
    "repeated repetitions": {"grammar": 'root ::= (("a"*)*)*'},
    "nesting that ends two ways": {
        "grammar": 'root ::= a | b | "x"\na ::= "(" root ")"\nb ::= "(" root "]"'
    },
    "many names for one thing": {
        "grammar": "root ::= ("
        + " | ".join(f"a{i}" for i in range(600))
        + ")+\n"
        + "\n".join(f"a{i} ::= [a-z]+" for i in range(600))
    },
    "three long runs": {"grammar": "root ::= [a-z]{0,2000} [a-z]{0,2000} [a-z]{0,2000}"},
    "a huge string": {"json_schema": {"type": "string", "maxLength": 10**9}},
    "a huge array": {"json_schema": {"type": "array", "minItems": 10**6}},
    "a deep schema": {"json_schema": json.loads('{"items":' * 500 + "{}" + "}" * 500)},
    "a very deep schema": {"json_schema": json.loads('{"items":' * 900 + "{}" + "}" * 900)},
    "a remote reference": {"json_schema": {"$ref": "https://example.com/schema.json"}},
    "a reference to itself": {"json_schema": {"$ref": "#"}},
    "a choice of itself": {"json_schema": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
    "a huge enumeration": {"json_schema": {"enum": [f"{i:x}" for i in range(20000)]}},
    "an enumeration of one letter": {"json_schema": {"enum": [chr(0x4E00 + i) for i in range(9)] + [
        chr(0x5E00 + i) + chr(0x6E00 + i) for i in range(2000)]}},
    "a pathological pattern": {"json_schema": {"type": "string", "pattern": "^(([a-z])+.)+[A-Z]$"}},
    "a long pattern": {"json_schema": {"type": "string", "pattern": "(a?)" * 200}},
    "a long text in a schema": {"json_schema": {"const": "a" * 65536}},
    "a schema with a lone surrogate": {"json_schema": {"const": "\ud800"}},
    "grammar and schema": {"grammar": 'root ::= "a"', "json_schema": {}},
}  # fmt: skip


@pytest.fixture(scope="module")
def reader() -> Iterator[GrammarReader]:
    made = GrammarReader()
    yield made
    made.close()


@pytest.fixture
def own_reader() -> Iterator[GrammarReader]:
    made = GrammarReader()
    yield made
    made.close()


def ask(**wanted: Any) -> GenerateRequest:
    return GenerateRequest(prompt="x", **wanted)


def child_of(reader: GrammarReader) -> psutil.Process:
    child = reader._process._child
    assert child is not None
    return psutil.Process(child._process.pid)


def test_a_request_may_want_nothing(own_reader: GrammarReader) -> None:
    assert own_reader.read(ask()) is None
    assert own_reader._process._child is None


def test_a_grammar_is_written_anew(reader: GrammarReader) -> None:
    grammar = 'root ::= answer # the only rule\nanswer ::= "yes" |\n  "no"'
    assert reader.read(ask(grammar=grammar)) == 'root ::= r0\nr0 ::= "yes" | "no"\n'


def test_a_schema_becomes_a_grammar(reader: GrammarReader) -> None:
    wanted = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    grammar = reader.read(ask(json_schema=wanted))
    assert grammar is not None
    assert grammar.startswith("root ::= ")


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_in_under_a_second(bomb: dict[str, Any], reader: GrammarReader) -> None:
    reader.read(ask(grammar='root ::= "started"'))
    start = time.perf_counter()
    with pytest.raises(InvalidRequestError) as failure:
        reader.read(ask(**bomb))
    assert time.perf_counter() - start < 1.5  # the limit is 1 s; the rest is for a busy machine
    assert failure.value.field in bomb
    assert len(failure.value.message) < 500
    assert reader.read(ask(json_schema={"type": "null"})) == 'root ::= "null"\n'


def test_most_bombs_do_not_even_cost_a_process(own_reader: GrammarReader) -> None:
    own_reader.read(ask(grammar='root ::= "started"'))
    child = child_of(own_reader)
    for bomb in BOMBS.values():
        with pytest.raises(InvalidRequestError):
            own_reader.read(ask(**bomb))
    assert child_of(own_reader) == child


def test_what_is_known_is_not_checked_again(own_reader: GrammarReader) -> None:
    wanted = [ask(grammar='root ::= "a"'), ask(json_schema={"type": "null"})]
    first = [own_reader.read(each) for each in wanted]
    child_of(own_reader).kill()
    assert [own_reader.read(each) for each in wanted] == first


def test_what_was_not_used_for_long_is_forgotten(
    own_reader: GrammarReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar_module, "CACHE_BYTES", 100)
    wanted = [ask(grammar=f'root ::= "{letter * 10}"') for letter in "abc"]
    for number in (0, 1, 0, 2):
        own_reader.read(wanted[number])
    child_of(own_reader).suspend()
    own_reader.read(wanted[0])
    own_reader.read(wanted[2])
    with pytest.raises(InvalidRequestError, match="it took longer than 1 s"):
        own_reader.read(wanted[1])


def test_a_grammar_that_would_be_remembered_alone_is_forgotten(
    own_reader: GrammarReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar_module, "CACHE_BYTES", 10)
    assert own_reader.read(ask(grammar='root ::= "a"')) == 'root ::= "a"\n'
    assert own_reader.read(ask(grammar='root ::= "a"')) == 'root ::= "a"\n'


def test_after_a_crash_the_next_grammar_is_read(own_reader: GrammarReader) -> None:
    own_reader.read(ask(grammar='root ::= "a"'))
    child_of(own_reader).kill()
    with pytest.raises((InternalError, InvalidRequestError), match=r"is gone|Broken pipe|reset"):
        own_reader.read(ask(grammar='root ::= "b"'))
    assert own_reader.read(ask(grammar='root ::= "b"')) == 'root ::= "b"\n'


def test_closing_ends_a_running_check(own_reader: GrammarReader) -> None:
    own_reader.read(ask(grammar='root ::= "a"'))
    child = child_of(own_reader)
    child.suspend()
    failures: list[str] = []

    def read() -> None:
        try:
            own_reader.read(ask(grammar='root ::= "b"'))
        except InternalError as exc:
            failures.append(exc.message)

    thread = threading.Thread(target=read)
    thread.start()
    own_reader.close()
    thread.join()
    assert failures == ["the grammar could not be checked: the model is being unloaded"]
    assert not child.is_running()


def test_the_page_tells_the_limits() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "grammars.md").read_text()
    for limit in (
        grammar_module.MAX_GRAMMAR_BYTES,
        grammar_module.MAX_SCHEMA_BYTES,
        gbnf.MAX_NESTING,
        gbnf.MAX_PRODUCT,
        rules.MAX_REPEATS,
        machine.MAX_ELEMENTS,
        ambiguity.MAX_WAYS,
        pattern.MAX_LENGTH,
        schema_text.MAX_DEPTH,
        schema_text.MAX_NODES,
        json_rules.MAX_WHOLE_DIGITS,
    ):
        assert f"{limit:,}" in page
    assert [keyword for keyword in schema.FORMATS if f"`{keyword}`" not in page] == []
