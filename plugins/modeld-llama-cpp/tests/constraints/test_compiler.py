# SPDX-License-Identifier: GPL-3.0-only
"""What kinds of constraints there are, and that none costs more than it may."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from following import compiled, takes
from modeld_llama_cpp.constraints.compiler import KINDS, compile_constraint

from modeld.errors import InvalidRequestError

SHORT = {"json_schema": {"type": "null"}, "grammar": 'root ::= "null"', "regex": "null"}
SHORT |= {"lark": 'start: "null"', "choice": ["null"]}

TREE = {f"a{i}": {"anyOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}
CHAIN = {
    f"a{i}": {"properties": {"x": {"$ref": f"#/$defs/a{i + 1}"}}, "required": ["x"]}
    for i in range(1000)
}
CONDITIONS = [
    {
        "if": {"properties": {"t": {"const": f"v{i}"}}, "required": ["t"]},
        "then": {"properties": {f"q{i}": {"type": "integer"}}},
    }
    for i in range(20)
]
DEEP = json.loads('{"items":' * 500 + "{}" + "}" * 500)
MANY = {f"p{i}": {"type": "string"} for i in range(2000)}
WORDS = " | ".join(f'"{i:x}{i * 7919 % 4096:x}"' for i in range(4000))

HOSTILE: dict[str, tuple[str, Any, str | None]] = {
    "a syntax error": ("grammar", "root ::= (((", "expected `)`"),
    "nested repetitions": ("grammar", 'root ::= (("a"{1,100}){1,100}){1,100}', "at most 10000"),
    "many repetitions": ("grammar", 'root ::= ("a"{0,1900}){0,1900}', "at most 10000"),
    "repetitions by name": (
        "grammar",
        'root ::= a{1,100}\na ::= b{1,100}\nb ::= c{1,100}\nc ::= "x"{1,100}',
        None,
    ),
    "deep groups": ("grammar", "root ::= " + "(" * 8000 + '"a"' + ")" * 8000, "more than 50 deep"),
    "a chain of rules": (
        "grammar",
        "root ::= a0\n"
        + "\n".join(f'a{i} ::= "(" a{i + 1} ")" | "x"' for i in range(1900))
        + '\na1900 ::= "y"',
        "more than 1000 rules",
    ),
    "doubling rules": (
        "grammar",
        "\n".join(f"{'root' if i == 0 else f'a{i}'} ::= a{i + 1} a{i + 1}" for i in range(60))
        + '\na60 ::= "y"',
        None,
    ),
    "a large grammar": ("grammar", 'root ::= "' + "a" * 65536 + '"', "at most 65536 are allowed"),
    "an empty grammar": ("grammar", " ", "it is empty"),
    "a NUL byte": ("grammar", 'root ::= "a\0b"', "U+0000 is no character"),
    "a lone surrogate": ("grammar", 'root ::= "\ud800"', "half of a surrogate pair"),
    "many ways": ("grammar", "root ::= " + '("a"? "a"? "a"?){50}', None),
    "optional things in a row": ("grammar", "root ::= " + '"a"? ' * 2000, None),
    "optional things beside a rule": ("grammar", "root ::= " + '"a"? ' * 1000 + "root?", None),
    "repeated repetitions": ("grammar", 'root ::= (("a"*)*)*', None),
    "nesting that ends two ways": (
        "grammar", 'root ::= a | b | "x"\na ::= "(" root ")"\nb ::= "(" root "]"', None,
    ),
    "many names for one thing": (
        "grammar",
        "root ::= (" + " | ".join(f"a{i}" for i in range(600)) + ') | "(" root ")"\n'
        + "\n".join(f'a{i} ::= [a-z]+ "{i}"' for i in range(600)),
        None,
    ),
    "many terminals that begin alike": (
        "grammar",
        "root ::= " + " | ".join(f"a{i} root" for i in range(380)) + ' | "z"\n' + "\n".join(
            f'a{i} ::= ([a-y] | "{i}" [a-y]* "b" | "c{i}" [b-x]*){{2,8}} "{i}"' for i in range(380)
        ),
        None,
    ),
    "three long runs": ("grammar", "root ::= [a-z]{0,2000} [a-z]{0,2000} [a-z]{0,2000}", None),
    "many words": ("grammar", f'root ::= w (" " w)* | "(" root ")"\nw ::= {WORDS}', None),
    "a long text": ("json_schema", {"type": "string", "maxLength": 10**9}, None),
    "a huge array": ("json_schema", {"type": "array", "minItems": 10**6}, "at most 4000"),
    "a deep schema": ("json_schema", DEEP, "more than 64"),
    "a reference to a file": ("json_schema", {"$ref": "file:///etc/passwd"}, "inside the schema"),
    "a reference to a URL": ("json_schema", {"$ref": "https://example.com/x"}, "inside the schema"),
    "a reference to itself": ("json_schema", {"$ref": "#"}, "without end"),
    "references that double": (
        "json_schema",
        {"$ref": "#/$defs/a0", "$defs": TREE | {"a40": {"type": "null"}}},
        None,
    ),
    "a chain of references": (
        "json_schema",
        {"$ref": "#/$defs/a0", "$defs": CHAIN | {"a1000": {"type": "null"}}},
        "deep",
    ),
    "100,000 values": (
        "json_schema", {"enum": [f"{i:x}" for i in range(100_000)]}, "at most 262144 are allowed",
    ),
    "25,000 values": ("json_schema", {"enum": [f"{i:x}" for i in range(25_000)]}, None),
    "2,000 properties": (
        "json_schema",
        {"properties": MANY},
        None,
    ),
    "2,000 properties and others": (
        "json_schema",
        {"properties": MANY, "additionalProperties": {}},
        None,
    ),
    "2,000 alternatives": (
        "json_schema",
        {"anyOf": [{"properties": {name: {"const": 1}}, "required": [name]} for name in MANY]},
        None,
    ),
    "300 exclusive alternatives": (
        "json_schema",
        {"oneOf": [{"properties": {"k": {"const": i}}, "required": ["k"]} for i in range(300)]},
        None,
    ),
    "300 alternatives that are alike": (
        "json_schema",
        {"oneOf": [{"properties": {"k": {"maxLength": i}}, "required": ["k"]} for i in range(300)]},
        "too many branches",
    ),
    "many patterns of names": (
        "json_schema",
        {"patternProperties": {f"^p{i}q$": {"type": "integer"} for i in range(300)}},
        "more than 64 patterns",
    ),
    "choices that combine": (
        "json_schema",
        {"allOf": [{"anyOf": [{"required": [f"a{i}{j}"]} for j in range(4)]} for i in range(12)]},
        "schema too large",
    ),
    "conditions that combine": ("json_schema", {"type": "object", "allOf": CONDITIONS}, "$"),
    "patterns without end": (
        "json_schema",
        {"properties": {f"p{i}": {"pattern": f"^.*a.{{{10 + i}}}b$", "minLength": 6}
                        for i in range(100)}},
        "Unable to determine",
    ),
    "a repetition bomb": ("regex", "((a{1,100}b){1,100}c){1,100}", "at most 100000"),
    "a long pattern": ("regex", "(a?)" * 1024, None),
    "a longer pattern": ("regex", "(a?)" * 1025, "at most 4096"),
    "a Lark bomb": ("lark", 'start: (("a"{0,9000}){0,9000}){0,9000}', None),
    "a Lark grammar of many rules": (
        "lark",
        "start: a0\n" + "\n".join(f'a{i}: "(" a{i + 1}' for i in range(1500)) + '\na1500: "y"',
        "more than 1000 deep",
    ),
    "a Lark rule twice in itself": ("lark", 'start: start start | "a"', None),
    "many choices": ("choice", [f"{i:x}" for i in range(10_000)], None),
    "too many choices": ("choice", ["x" * 1000] * 66, "at most 65536"),
}  # fmt: skip

CHILD = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
from test_compiler import HOSTILE
from modeld_llama_cpp.constraints.compiler import compile_constraint
from modeld.errors import InvalidRequestError
compile_constraint("regex", "a")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seconds = {}
for name, (kind, source, _) in HOSTILE.items():
    begun_s = time.thread_time()
    try:
        compile_constraint(kind, source)
    except InvalidRequestError:
        pass
    seconds[name] = time.thread_time() - begun_s
grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(json.dumps({"grown_kib": grown_kib, "seconds": seconds}))
"""
"""A process of its own, without coverage, which makes the same work take three times as long."""


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_holds_a_generation_to_what_it_says(kind: str) -> None:
    grammar = compiled(kind, SHORT[kind])
    assert takes(grammar, "null")
    assert not takes(grammar, "nul")
    assert not takes(grammar, "null.")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_source_is_compiled_or_refused_in_words(name: str) -> None:
    kind, source, problem = HOSTILE[name]
    if problem is None:
        compile_constraint(kind, source)
    else:
        with pytest.raises(InvalidRequestError) as failure:
            compile_constraint(kind, source)
        assert problem in str(failure.value)
        assert failure.value.field == kind
        assert len(failure.value.message) < 1000


def test_hostile_sources_cost_little_processor_time_and_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(Path(__file__).parent)],
        capture_output=True, text=True, check=True, timeout=100,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
    )  # fmt: skip
    spent = json.loads(done.stdout)
    assert spent["grown_kib"] < 200 << 10
    slow = {name: seconds for name, seconds in spent["seconds"].items() if seconds > 3}
    assert not slow, "each takes a second at most where nothing else runs"


def test_choices_are_texts_of_any_characters() -> None:
    grammar = compiled("choice", ["yes", 'yes\n"x" \\ é\x7f<b>', "/.*/", "no"])
    assert takes(grammar, "yes")
    assert takes(grammar, 'yes\n"x" \\ é\x7f<b>')
    assert takes(grammar, "/.*/")
    assert not takes(grammar, "abc")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ([], "must be a list of texts that is not empty"),
        ("yes", "must be a list of texts that is not empty"),
        (["a", ""], "$[1]: must be a text that is not empty"),
        (["a", 1], "$[1]: must be a text that is not empty"),
        (["\ud800"], "$[0]: it has half of a surrogate pair"),
    ],
)
def test_a_fault_in_choices_is_named(source: object, problem: str) -> None:
    with pytest.raises(InvalidRequestError) as failure:
        compile_constraint("choice", source)
    assert problem in str(failure.value)
