# SPDX-License-Identifier: GPL-3.0-only
"""Finds the family of a chat template by the marks that are in its text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from modeld_llama_cpp.chat.formats.chat_format import ChatFormat
from modeld_llama_cpp.chat.formats.families import GENERIC, PROBES, Probe

_NAMED: Final = {"gpt-oss": "gpt-oss", "seed_oss": "seed"}
"""llama.cpp's own templates whose models have other marks than generic ones, and their families."""


def format_of(template: str, vocabulary: Collection[str] | Mapping[str, int]) -> ChatFormat:
    """Return the family of a chat template, or the generic one.

    ``template`` may be the name of one of llama.cpp's own. ``vocabulary`` are the texts of the
    model's special tokens. Where it says their ids too, a constraint has the marks written as these
    tokens, and else as text.
    """
    tokens = vocabulary if isinstance(vocabulary, Mapping) else {}
    family = next((each.family for each in PROBES if _fits(each, template)), GENERIC)
    return replace(family, tokens=tokens)


def _fits(probe: Probe, template: str) -> bool:
    if template in _NAMED:
        return probe.family.name == _NAMED[template]
    return all(mark in template for mark in probe.marks) and not any(
        mark in template for mark in probe.without
    )
