# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/sampling.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from modeld_llama_cpp.sampling import logprobs
from modeld_llama_cpp.sampling.llama_sampling import MAX_BREAKER_BYTES, LlamaSampling
from modeld_llama_cpp.sampling.parameters import Choice
from modeld_llama_cpp.sampling.sampler import Samplers
from msgspec import inspect
from sampler_rig import EVERYTHING, names

from modeld.sampling import COMMON, SamplingParameter, parameters_of

ROWS = {row.name: row for row in (*COMMON, *parameters_of(LlamaSampling))}
PAGE = (Path(__file__).parents[4] / "docs" / "reference" / "sampling.md").read_text(
    encoding="utf-8"
)

SAMPLERS = {
    "logit_bias": "logit-bias",
    "repeat_penalty": "penalties",
    "dry_multiplier": "dry",
    "top_n_sigma": "top-n-sigma",
    "top_k": "top-k",
    "typical_p": "typical",
    "top_p": "top-p",
    "min_p": "min-p",
    "xtc_probability": "xtc",
    "temperature": "temp-ext",
    "the": "dist",
}
"""What llama.cpp calls the sampler that a line of the order begins with."""


def section(heading: str) -> str:
    """What stands below a heading, up to the next of its level."""
    return re.split(r"^## ", PAGE.split(f"\n## {heading}\n")[1], flags=re.MULTILINE)[0]


def table() -> dict[str, list[str]]:
    """Default and range of each field."""
    fields = section("The fields").split("###")[0]
    rows = [line.strip("| ").split(" | ") for line in fields.splitlines() if line.startswith("| `")]
    return {name.strip("`"): cells for name, *cells in rows}


def said(row: SamplingParameter) -> str:
    """A range in the words of the page."""
    kind = row.written_kind
    assert isinstance(kind, inspect.IntType | inspect.FloatType)
    if kind.gt is not None:
        return f"above {kind.gt} and at most {kind.le}"
    return f"from {kind.ge} to {kind.le}"


def test_every_field_is_listed_once() -> None:
    assert sorted(table()) == sorted(ROWS)
    assert section("The fields").count("\n| `temperature` |") == 1


def test_what_every_engine_knows_is_told_from_what_is_llama_cpps() -> None:
    sentence = section("The fields").split(". ")[0]
    listed = re.findall(r"`(\w+)`", sentence)
    assert sorted(listed) == sorted(row.name for row in COMMON)


def test_numbers_have_the_defaults_and_ranges_of_the_code() -> None:
    rows = table()
    choice = Choice()
    numbers = [r for r in ROWS.values() if isinstance(r.kind, inspect.IntType | inspect.FloatType)]
    assert len(numbers) > 20
    for row in numbers:
        default = "random" if row.name == "seed" else str(getattr(choice, row.name))
        assert rows[row.name][:2] == [default, said(row)]


def test_the_other_limits_are_those_of_the_code() -> None:
    rows = table()
    default, limit = rows["dry_sequence_breakers"][:2]
    assert tuple(json.loads(default.strip("`"))) == Choice().dry_sequence_breakers
    breakers, biases = ROWS["dry_sequence_breakers"].kind, ROWS["logit_bias"].kind
    assert isinstance(breakers, inspect.VarTupleType)
    assert limit == f"at most {breakers.max_length} texts of 1 to {MAX_BREAKER_BYTES} bytes"
    assert isinstance(biases, inspect.VarTupleType)
    assert isinstance(biases.item_type, inspect.TupleType)
    either = biases.item_type.item_types[1]
    assert isinstance(either, inspect.UnionType)
    number = next(each for each in either.types if isinstance(each, inspect.FloatType))
    each = f"from {number.ge} to {number.le} each"
    assert rows["logit_bias"][1] == f"at most {biases.max_length} tokens, {each}"


def test_the_limits_elsewhere_on_the_page_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"is written as {logprobs.LOWEST:g}" in text


def test_the_order_is_that_of_the_chain(samplers: Samplers) -> None:
    lines = re.findall(r"^\d+\. `?(\w+)", section("The order"), flags=re.MULTILINE)
    assert [SAMPLERS[line] for line in lines] == names(samplers.chains, **EVERYTHING)


def test_every_source_is_of_a_field() -> None:
    sources = re.findall(r"^\| `(\w+)` \| \[", section("The fields"), flags=re.MULTILINE)
    assert sources
    assert set(sources) < set(ROWS)
