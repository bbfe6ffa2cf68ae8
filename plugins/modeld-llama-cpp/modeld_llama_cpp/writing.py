# SPDX-License-Identifier: GPL-3.0-only
"""Writes rules as GBNF, so that llama.cpp only ever reads what was written here."""

from __future__ import annotations

from modeld_llama_cpp.rules import (
    MAX_REPEATS,
    ROOT,
    Alternative,
    Chars,
    Element,
    Ref,
    Repeat,
    Rules,
)

_PLAIN = frozenset(map(chr, range(32, 127))) - frozenset('"\\[]^-')


def write_gbnf(rules: Rules) -> str:
    """The rules as text, the root first."""
    return _Writer(rules).text()


class _Writer:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        names = [name for name in rules.alternatives if name != ROOT]
        self._names = {ROOT: ROOT} | {name: f"r{i}" for i, name in enumerate(names)}

    def text(self) -> str:
        return "\n".join(self._rule(name) for name in self._names) + "\n"

    def _rule(self, name: str) -> str:
        alternatives = map(self._alternative, self._rules.alternatives[name])
        return f"{self._names[name]} ::= {' | '.join(alternatives)}"

    def _alternative(self, alternative: Alternative) -> str:
        parts, literal = [], ""
        for element in alternative:
            if isinstance(element, Chars) and _is_single(element):
                literal += _char(element.ranges[0][0])
                continue
            if literal:
                parts.append(f'"{literal}"')
                literal = ""
            parts.append(self._element(element))
        if literal:
            parts.append(f'"{literal}"')
        return " ".join(parts) or '""'

    def _element(self, element: Element) -> str:
        match element:
            case Chars():
                return _set(element)
            case Ref():
                return self._names[element.rule]
            case Repeat():
                return _repeated(self._element(element.item), element.least, element.most)


def _is_single(chars: Chars) -> bool:
    return len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1]


def _set(chars: Chars) -> str:
    return "[" + "".join(map(_range, chars.ranges)) + "]"


def _range(bounds: tuple[int, int]) -> str:
    low, high = map(_char, bounds)
    return low if low == high else f"{low}-{high}"


def _char(code: int) -> str:
    if chr(code) in _PLAIN:
        return chr(code)
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def _repeated(item: str, least: int, most: int | None) -> str:
    """A repetition as llama.cpp takes it: numbers are smaller than :data:`MAX_REPEATS`."""
    if MAX_REPEATS in (least, most):
        return f"{item} {_repeated(item, least - 1, None if most is None else most - 1)}"
    match least, most:
        case 0, None:
            return f"{item}*"
        case 1, None:
            return f"{item}+"
        case 0, 1:
            return f"{item}?"
        case _, None:
            return f"{item}{{{least},}}"
        case _:
            return f"{item}{{{least}}}" if least == most else f"{item}{{{least},{most}}}"
