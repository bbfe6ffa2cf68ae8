# SPDX-License-Identifier: GPL-3.0-only
"""Which model a name means: an id as it is, or ``name:tag`` as people write it for Ollama.

Besides its id a model has the names ``STEM``, which is its id in any case and without ``.gguf``,
and ``BASE:QUANT`` where the stem ends with the quantisation: ``Qwen3-4B-Q4_K_M.gguf`` is also
``qwen3-4b:q4_k_m``. ``BASE`` alone, or with the tag ``latest``, is the only model of that base.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modeld.errors import ModelNotFoundError
from modeld.values import ModelSpec

NAMED: Final = 3
"""How many models an error names to choose from."""

_LATEST: Final = ":latest"
_SUFFIX: Final = ".gguf"
_SEPARATORS: Final = "-._"


class Names:
    """The names of some models. Files that cannot be used are known by their ids only."""

    def __init__(self, specs: Sequence[ModelSpec]) -> None:
        self._by_id = {alias: spec for spec in specs for alias in spec.aliases}
        self._by_id |= {spec.id: spec for spec in specs}
        self._by_stem: dict[str, list[ModelSpec]] = {}
        self._by_base: dict[str, list[ModelSpec]] = {}
        for spec in specs:
            if spec.problem is None:
                self._by_stem.setdefault(_stem(spec.id), []).append(spec)
                for name in based_names(spec):
                    self._by_base.setdefault(name, []).append(spec)

    def find(self, name: str) -> ModelSpec | None:
        """Return the model of this name, or ``None`` where there is none.

        Raises:
            ModelNotFoundError: there are several; the message names some of them.
        """
        if spec := self._by_id.get(name) or self._by_id.get(name.removesuffix(_LATEST)):
            return spec
        wanted = _stem(name.casefold().removesuffix(_LATEST))
        found = self._by_stem.get(wanted) or self._by_base.get(wanted, [])
        if len(found) > 1:
            raise ModelNotFoundError(
                f"model {name!r} not found: it may be {_some(found)}; send one of these ids",
                field="model",
            )
        return found[0] if found else None


def based_names(spec: ModelSpec) -> tuple[str, ...]:
    """Return ``BASE`` and ``BASE:QUANT`` of a model in small letters, where its stem has both."""
    stem, quant = _stem(spec.id), spec.quant.casefold()
    base = stem.removesuffix(quant)
    if base == stem or not base.strip(_SEPARATORS) or base[-1] not in _SEPARATORS:
        return (f"{stem}:{quant}",) if quant else ()
    base = base.rstrip(_SEPARATORS)
    return (base, f"{base}:{quant}", f"{stem}:{quant}")


def _stem(name: str) -> str:
    return name.casefold().removesuffix(_SUFFIX)


def _some(specs: Sequence[ModelSpec]) -> str:
    named = " or ".join(repr(spec.id) for spec in specs[:NAMED])
    more = len(specs) - NAMED
    return f"{named} or {more} more" if more > 0 else named
