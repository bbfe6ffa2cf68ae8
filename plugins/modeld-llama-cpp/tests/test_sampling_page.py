# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/sampling.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from modeld_llama_cpp import gbnf, logprobs
from modeld_llama_cpp.sampler import Samplers
from modeld_llama_cpp.sampling import (
    MAX_BIAS,
    MAX_BIASES,
    MAX_BREAKER_BYTES,
    MAX_BREAKERS,
    RANGES,
    Choice,
    Range,
)
from test_chain import EVERYTHING, names

from modeld import Sampling

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "sampling.md").read_text(
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


def test_every_field_is_listed_once() -> None:
    assert sorted(table()) == sorted(Sampling.__struct_fields__)
    assert section("The fields").count("\n| `temperature` |") == 1


def test_numbers_have_the_defaults_and_ranges_of_the_code() -> None:
    rows = table()
    choice = Choice()
    for name, range_ in RANGES.items():
        assert rows[name][:2] == [str(getattr(choice, name)), str(range_)]


def test_the_other_limits_are_those_of_the_code() -> None:
    rows = table()
    default, limit = rows["dry_sequence_breakers"][:2]
    assert tuple(json.loads(default.strip("`"))) == Choice().dry_sequence_breakers
    assert limit == f"at most {MAX_BREAKERS} texts of 1 to {MAX_BREAKER_BYTES} bytes"
    each = Range(-MAX_BIAS, MAX_BIAS)
    assert rows["logit_bias"][1] == f"at most {MAX_BIASES} tokens, {each} each"
    text = " ".join(PAGE.split())
    assert f"is written as {logprobs.LOWEST:g}" in text
    assert f"nested at most {gbnf.MAX_NESTING} levels deep" in text
    assert f"one another is at most {gbnf.MAX_PRODUCT:,}" in text


def test_the_order_is_that_of_the_chain(samplers: Samplers) -> None:
    lines = re.findall(r"^\d+\. `?(\w+)", section("The order"), flags=re.MULTILINE)
    assert [SAMPLERS[line] for line in lines] == names(samplers.chains, **EVERYTHING)


def test_every_source_is_of_a_field() -> None:
    sources = re.findall(r"^\| `(\w+)` \| \[", section("The fields"), flags=re.MULTILINE)
    assert sources
    assert set(sources) < set(Sampling.__struct_fields__)
