# SPDX-License-Identifier: GPL-3.0-only
"""Which projector belongs to which model, by their names in one folder.

Publishers put a projector beside the files of its model: ``mmproj-F16.gguf`` where there is nothing
else, ``mmproj-gemma-3-4b-it-f16.gguf`` or ``gemma-3-4b-it-mmproj-f16.gguf`` where there is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

_MARK: Final = "mmproj"
_PRECISION: Final = r"(?:ud-)?(?:i?q\d\w*|bf16|fp?16|fp?32|mxfp4\w*)"
_QUANT: Final = re.compile(rf"[-_.]{_PRECISION}$")
_SHARD: Final = re.compile(r"-\d{5}-of-\d{5}$")
_GENERIC: Final = frozenset({"", "model"})
_BEST_FIRST: Final = ("f16", "fp16", "bf16", "q8_0", "f32", "fp32")


def is_projector(name: str) -> bool:
    """Return whether a file says by its name that it is a projector."""
    return _MARK in name.casefold()


def base_of(name: str) -> str:
    """Return a model's file name without suffix, number of shards and quantisation."""
    stem = _SHARD.sub("", name.casefold().removesuffix(".gguf"))
    return _QUANT.sub("", stem)


def projector_of(model: str, projectors: Sequence[str], models: Collection[str]) -> str | None:
    """Return the projector of a model among those in its folder, if one is certain.

    One that names a model belongs to those whose names begin so, and one that names none where
    ``models``, all that are in the folder, are quantisations of one.
    """
    base = base_of(model)
    named = [(len(of), name) for name in projectors if (of := _named(name)) not in _GENERIC]
    fitting = [(length, name) for length, name in named if base.startswith(_named(name))]
    if fitting:
        longest = max(length for length, _ in fitting)
        return min((name for length, name in fitting if length == longest), key=_rank)
    generic = [name for name in projectors if _named(name) in _GENERIC]
    if generic and len({base_of(each) for each in models}) == 1:
        return min(generic, key=_rank)
    return None


def _named(projector: str) -> str:
    """Return the model that a projector's name says it belongs to, or nothing."""
    stem = projector.casefold().removesuffix(".gguf")
    before, _, after = stem.partition(_MARK)
    after = _QUANT.sub("", f"-{after.lstrip('-_.')}")
    return f"{before}{after}".strip("-_.")


def _rank(name: str) -> tuple[int, str]:
    found = re.search(rf"({_PRECISION})(?:\.gguf)?$", name.casefold())
    precision = found[1] if found else ""
    known = precision in _BEST_FIRST
    return _BEST_FIRST.index(precision) if known else len(_BEST_FIRST), name
