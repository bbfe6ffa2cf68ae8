# SPDX-License-Identifier: GPL-3.0-only
"""The page about chat formats says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from modeld_llama_cpp.chat.formats.calls.pythonic_calls import CODE_TOOLS
from modeld_llama_cpp.chat.formats.families import GENERIC, PROBES, Probe
from modeld_llama_cpp.chat.formats.family import MarkedFamily
from modeld_llama_cpp.chat.formats.harmony import CHANNEL, END, MESSAGE

PAGE = (Path(__file__).parents[5] / "docs" / "reference" / "chat-formats.md").read_text()
HEAD = (
    "| family | what is in the template | reasoning between | a call begins with "
    "| forced calls begin with |\n"
)


def code(text: str) -> str:
    return f"`{text.replace('```', '(fence)')}`"


def listed(*texts: str) -> str:
    return ", ".join(map(code, dict.fromkeys(texts)))


def row(probe: Probe) -> str:
    family = probe.family
    marks = listed(*probe.marks) or "none of all these"
    marks += f", not {listed(*probe.without)}" if probe.without else ""
    if isinstance(family, MarkedFamily):
        form = family.forms[0]
        think = listed(*family.think) if family.think[0] else "–"  # noqa: RUF001  (a dash)
        begins = listed(
            *(mark for each in family.forms for mark in (*each.openers, each.bare) if mark)
        )
        forced = code(form.frame.before.rstrip("\n") or form.bare)
    else:
        think = listed(f"{CHANNEL}analysis{MESSAGE}", END)
        begins, forced = code("to="), code(f"{CHANNEL}commentary to=functions.")
    return f"| `{family.name}` | {marks} | {think} | {begins} | {forced} |"


def test_the_table_has_each_family_as_it_is_told() -> None:
    _, found, rest = PAGE.partition(HEAD)
    assert found
    rows = rest.partition("\n\n")[0].splitlines()[1:]
    assert rows == [row(each) for each in (*PROBES, Probe(family=GENERIC, marks=()))]


def test_tools_that_run_code_are_told() -> None:
    sentence = PAGE.partition("for a tool named ")[2].partition(", code")[0]
    assert tuple(re.findall(r"`(\w+)`", sentence)) == CODE_TOOLS
