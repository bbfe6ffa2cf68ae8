# SPDX-License-Identifier: GPL-3.0-only
"""The marks in a template's text tell its family."""

from __future__ import annotations

import pytest
from modeld_llama_cpp.chat.formats.detection import format_of
from modeld_llama_cpp.chat.formats.families import GENERIC, PROBES, Probe
from modeld_llama_cpp.chat.formats.family import MarkedFamily


@pytest.mark.parametrize("index", range(len(PROBES)))
def test_a_text_with_the_marks_of_a_family_is_of_it(index: int) -> None:
    probe = PROBES[index]
    assert format_of("{{ x }}".join(probe.marks), ()).name == probe.family.name


def test_a_text_without_marks_is_of_the_generic_family() -> None:
    assert format_of("{{ messages[0].content }}", ()).name == GENERIC.name
    assert format_of("", ()).name == GENERIC.name


@pytest.mark.parametrize(
    ("name", "family"),
    [("gpt-oss", "gpt-oss"), ("seed_oss", "seed"), ("chatml", "generic"), ("gemma", "generic")],
)
def test_a_name_of_a_template_tells_the_family_too(name: str, family: str) -> None:
    assert format_of(name, ()).name == family


def test_ids_of_tokens_are_kept_where_they_are_told() -> None:
    family = format_of("<tool_call>", {"<tool_call>": 7})
    assert isinstance(family, MarkedFamily)
    assert family.tokens == {"<tool_call>": 7}
    family = format_of("<tool_call>", frozenset({"<tool_call>"}))
    assert isinstance(family, MarkedFamily)
    assert family.tokens == {}


def test_marks_of_a_family_are_kept_for_its_parser() -> None:
    kept = format_of("<tool_call><arg_key>", ()).keeps_special
    assert kept >= {"<think>", "</think>", "<tool_call>", "</tool_call>", "<arg_key>"}
    assert format_of("gpt-oss", ()).keeps_special >= {"<|channel|>", "<|message|>", "<|end|>"}


def test_no_mark_begins_another() -> None:
    """Else the shorter one would be found where the longer one is written."""
    for probe in PROBES:
        if isinstance(probe.family, MarkedFamily):
            marks = [mark for form in probe.family.forms for mark in form.openers]
            pairs = [(a, b) for a in marks for b in marks if a != b]
            assert not any(b.startswith(a) for a, b in pairs)


def test_each_probe_can_be_reached() -> None:
    def hides(before: Probe, after: Probe) -> bool:
        return set(before.marks) <= set(after.marks) and set(before.without) <= set(after.without)

    for index, probe in enumerate(PROBES):
        assert not any(hides(before, probe) for before in PROBES[:index])
