# SPDX-License-Identifier: GPL-3.0-only
"""Rules for names of models: ids, aliases, and shorter names that mean one model only.

Beside its id a model has the names ``STEM``, which is its id without ``.gguf``, and, where the stem
ends with the quantisation, ``BASE`` and ``BASE:QUANT``: ``Qwen3-4B-Q4_K_M.gguf`` is also
``Qwen3-4B:Q4_K_M``. Where it does not, it has ``STEM:QUANT``. A preset is also ``MODEL:PRESET``,
with any of these for its model. The tag ``latest`` may stand behind every name, and all but ids and
aliases go in any case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from modeld.values import ModelSpec

NAMED: Final = 3
"""How many models are named to choose from."""

_LATEST: Final = ":latest"
_SUFFIX: Final = ".gguf"
_SEPARATORS: Final = "-._"
_ENDS: Final = tuple(_SEPARATORS)
_SHARD: Final = re.compile(r"-\d{5}-of-\d{5}\Z")
_QUANT: Final = re.compile(
    r"(?P<base>.*?[^-._])[-._]+"
    r"(?P<quant>(?:ud-)?(?:i?q|tq)\d+(?:_[a-z0-9]+)*|b?f16|f32|mxfp4(?:_moe)?)\Z",
    re.IGNORECASE | re.DOTALL,
)


class ModelNames:
    """The names of some models, made once and looked up at a cost that does not grow with them.

    Files that cannot be used are known by their ids and aliases only.
    """

    def __init__(self, specs: Sequence[ModelSpec]) -> None:
        self._by_id = {spec.id: spec for spec in specs}
        self._exact = {alias: spec.id for spec in specs for alias in spec.aliases}
        self._exact |= dict(zip(self._by_id, self._by_id, strict=True))
        self._whole: dict[str, tuple[str, ...]] = {}
        self._short: dict[str, tuple[str, ...]] = {}
        for spec in specs:
            if spec.problem is None:
                own = (spec.id,)
                whole = (spec.id, *spec.aliases) if spec.aliases else own
                for key in {folded(name) for name in whole}:
                    self._whole[key] = (*self._whole.get(key, ()), *own)
                for key in {key for _, key in self._short_names(spec)}:
                    self._short[key] = (*self._short.get(key, ()), *own)

    def find(self, name: str) -> Sequence[str]:
        """Return the ids of the models that a name may mean: of one, of several, or none."""
        for exact in (name, name.removesuffix(_LATEST)):
            if (found := self._exact.get(exact)) is not None:
                return (found,)
        return self._found(folded(name.casefold().removesuffix(_LATEST)))

    def of(self, spec: ModelSpec) -> tuple[str, ...]:
        """Return the names that a model has beside its id and its aliases, the longest first."""
        if spec.problem is not None:
            return ()
        own = (spec.id,)
        names = ((_stem(spec.id), folded(spec.id)), *self._short_names(spec))
        return tuple(
            name for name, key in names if name not in self._exact and self._found(key) == own
        )

    def _found(self, key: str) -> tuple[str, ...]:
        return self._whole.get(key) or self._short.get(key, ()) if key else ()

    def _short_names(self, spec: ModelSpec) -> Sequence[tuple[str, str]]:
        """Return each short name, and how it is compared."""
        if not spec.preset_of:
            return _based_names(spec.id, spec.quant)
        base = self._by_id.get(spec.preset_of)
        of_base = _based_names(base.id, base.quant) if base else ()
        names = dict.fromkeys(
            (spec.preset_of, _stem(spec.preset_of), *(each for each, _ in of_base))
        )
        whole = (f"{name}:{spec.id}" for name in names if ":" not in name)
        return [(name, folded(name)) for name in whole]


def said_of_several(ids: Sequence[str]) -> str:
    """Return ``; it may be X or Y: …``, for the refusal of a name that means several models."""
    named = " or ".join(map(repr, ids[:NAMED]))
    more = f" or {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return f"; it may be {named}{more}: name one of them"


def folded(name: str) -> str:
    """Return a name as it is compared where neither the case nor ``.gguf`` counts."""
    return name.casefold().removesuffix(_SUFFIX)


@lru_cache(maxsize=1 << 14)
def _based_names(model: str, quant: str) -> Sequence[tuple[str, str]]:
    """Return ``BASE`` and ``BASE:QUANT``, or ``STEM:QUANT`` where the quantisation is not in it.

    They are those of the scan before, most often.
    """
    whole = _stem(model)
    stem = _SHARD.sub("", whole)
    base = _without(stem, quant)
    if not base and (found := _QUANT.fullmatch(stem)):
        base, quant = found["base"], found["quant"]
    names = [] if stem == whole else [stem]
    if base:
        names += [base, f"{base}:{quant}"]
    elif quant:
        names.append(f"{stem}:{quant}")
    return tuple((name, folded(name)) for name in names)


def _without(stem: str, quant: str) -> str:
    """Return what stands before the quantisation at the end of a stem; nothing if it does not."""
    base = stem[: len(stem) - len(quant)]
    if not quant or stem[len(base) :].casefold() != quant.casefold() or not base.endswith(_ENDS):
        return ""
    return base.rstrip(_SEPARATORS)


def _stem(model: str) -> str:
    return model[: -len(_SUFFIX)] if model.casefold().endswith(_SUFFIX) else model
