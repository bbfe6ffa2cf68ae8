# SPDX-License-Identifier: GPL-3.0-only
"""What llama.cpp does with grammars that pass, and with those that do not, on real vocabularies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_cpp import llama_grammar
from modeld_llama_cpp.gbnf import read_gbnf
from modeld_llama_cpp.grammar_check import checked
from modeld_llama_cpp.rules import GrammarError
from modeld_llama_cpp.schema import read_schema

pytestmark = pytest.mark.model

WALKS = Path(__file__).with_name("grammar_walks.py")

SLOW = [
    'root ::= (x | [-a]){0,60} "!"\nx ::= "-"',
    'root ::= ("-"?){0,60} "x"',
    'root ::= ((("-"{2,9}){2,9}){2,9}) "x"',
    'root ::= a | b | "x"\na ::= "-" root "("\nb ::= "-" root ")"',
]

SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "score": {"type": "number", "minimum": -1, "maximum": 1},
            "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 3},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    {"type": "array", "items": {"type": "string", "format": "date"}, "minItems": 1, "maxItems": 2},
    {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"}]},
    {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "properties": {
                    "value": {"type": "boolean"},
                    "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]},
                },
                "required": ["value", "next"],
            }
        },
    },
]


def walk(model: Path, grammars: list[str], *, limit_s: int) -> list[Any]:
    process = subprocess.run(
        [sys.executable, str(WALKS), str(model), str(limit_s)],
        input=json.dumps(grammars),
        capture_output=True,
        text=True,
        env=os.environ | {"GGML_NO_BACKTRACE": "1"},
        check=False,
    )
    ready, *lines = process.stdout.splitlines()
    assert ready == "ready"
    if process.returncode < 0:
        lines.append(json.dumps(signal.Signals(-process.returncode).name))
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("grammar", SLOW)
def test_llama_cpp_does_not_finish_with_what_is_refused(grammar: str, smollm2: Path) -> None:
    with pytest.raises(GrammarError):
        checked(read_gbnf(grammar))
    assert walk(smollm2, [grammar], limit_s=2) in (["SIGXCPU"], ["SIGKILL"])


ATOMS = ['"-"', '"="', '" "', "[-a]", "[ -=]", '"\\n"', "[^x]", '"- "', "[a-z]", ".", "r0", "r1"]
EXPRESSIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(" ".join),
        st.lists(inner, min_size=2, max_size=3).map(" | ".join).map("({})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{0,30}", "{2,9}", "{3}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=10,
)
GRAMMARS = st.tuples(EXPRESSIONS, EXPRESSIONS, EXPRESSIONS).map(
    lambda three: "root ::= {} | r0\nr0 ::= {}\nr1 ::= {}".format(*three)
)
EXAMPLES = [getattr(llama_grammar, name) for name in dir(llama_grammar) if name.endswith("_GBNF")]
MUTANTS = st.tuples(
    st.sampled_from(EXAMPLES), st.integers(0, 2000), st.integers(0, 3), st.sampled_from(ATOMS)
).map(lambda m: m[0][: m[1] % len(m[0])] + m[3] + m[0][m[1] % len(m[0]) + m[2] :])


@pytest.mark.slow
def test_llama_cpp_is_quick_with_whatever_passes(smollm2: Path) -> None:
    passed = [checked(read_gbnf(example)) for example in EXAMPLES]

    @settings(
        max_examples=300,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(grammar=GRAMMARS | MUTANTS)
    def collect(grammar: str) -> None:
        try:
            passed.append(checked(read_gbnf(grammar)))
        except GrammarError:
            return

    collect()
    assert len(passed) > 50
    walks = walk(smollm2, passed[:80], limit_s=100)
    for grammar, result in zip(passed[:80], walks, strict=True):
        taken, longest_s, _, _ = result
        assert taken, grammar
        assert longest_s < 1.5, grammar


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_what_llama_cpp_writes_conforms_to_the_schema(
    schema: dict[str, Any], smollm2: Path
) -> None:
    grammar = checked(read_schema(schema))
    walks = walk(smollm2, [grammar] * 15, limit_s=60)
    ended = [text for taken, _, text, ended in walks if taken and ended]
    assert len(ended) > 3
    for text in ended:
        jsonschema.validate(json.loads(text), schema)
