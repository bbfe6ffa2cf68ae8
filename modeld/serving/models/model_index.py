# SPDX-License-Identifier: GPL-3.0-only
"""The models of all sources as of one moment: by id, in order, and by what their ids are like."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from modeld.values import ModelSpec

LONGEST_COMPARED = 128
"""A longer id than this is compared with no other."""

NEIGHBOURS = 8
"""How many ids are compared on each side of where one would stand in an order."""

_SUFFIX = ".gguf"


class ModelIndex:
    """Made once for each scan, on whatever thread, and only ever described.

    Of two models with one id the first counts; ``hidden`` has the others, each with its source.
    ``specs`` are sorted by id, and so are the ids of those that are ``usable``. ``devices`` are
    those on which their files are.
    """

    def __init__(self, lists: Mapping[str, Sequence[ModelSpec]] | None = None) -> None:
        by_id: dict[str, ModelSpec] = {}
        self._sources: dict[str, str] = {}
        self.hidden: list[tuple[str, str]] = []
        for source, specs in (lists or {}).items():
            for spec in specs:
                if by_id.setdefault(spec.id, spec) is not spec:
                    self.hidden.append((spec.id, source))
                else:
                    self._sources[spec.id] = source
        self.specs = tuple(by_id[model] for model in sorted(by_id))
        self.usable = tuple(spec.id for spec in self.specs if spec.problem is None)
        self.devices = frozenset(spec.stamp.device for spec in self.specs if spec.stamp)
        self._by_id = by_id
        self._listed = by_id
        # Strings alone, because a sort keeps the interpreter's lock, and that of tuples for longer.
        self._by_key = {_compared(model): model for model in by_id}
        self._from_start = sorted(self._by_key)
        self._from_end = sorted(key[::-1] for key in self._by_key)

    def describe(self, described: Callable[[ModelSpec], ModelSpec]) -> None:
        """Fill in what backends say of the models that can be used."""
        by_id = {
            spec.id: undescribed(spec) if spec.problem else described(spec) for spec in self.specs
        }
        self.specs = tuple(by_id.values())
        self._by_id = by_id

    def get(self, model: str) -> ModelSpec | None:
        """Return the model of this id, if there is one."""
        return self._by_id.get(model)

    def source_of(self, model: str) -> str | None:
        """Return the name of the source that has listed the model of this id."""
        return self._sources.get(model)

    def lists_the_same(self, other: ModelIndex) -> bool:
        """Return whether the models of both are equal; compared one by one, for the same reason.

        What they can be asked for does not count.
        """
        return self._sources == other._sources and all(
            spec == other._listed[model] for model, spec in self._listed.items()
        )

    def nearest(self, model: str) -> str:
        """Return ``; did you mean X?`` for an id that is much like this one, or nothing.

        Only ids that begin or end as this one does are compared, and only some of them: how many
        models there are does not matter.
        """
        if len(model) > LONGEST_COMPARED:
            return ""
        wanted = _compared(model)
        near = dict.fromkeys(_around(self._from_start, wanted))
        near |= dict.fromkeys(key[::-1] for key in _around(self._from_end, wanted[::-1]))
        close = difflib.get_close_matches(wanted, near, n=1)
        return f"; did you mean {self._by_key[close[0]]!r}?" if close else ""


def undescribed(spec: ModelSpec) -> ModelSpec:
    """Return a model of which no backend says anything."""
    return replace(spec, capabilities=(), context=None)


def _compared(model: str) -> str:
    return model.casefold().removesuffix(_SUFFIX)


def _around(order: list[str], key: str) -> list[str]:
    position = bisect_left(order, key)
    return order[max(0, position - NEIGHBOURS) : position + NEIGHBOURS]
