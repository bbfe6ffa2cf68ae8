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

    Of two models with one id the first counts, and so of two with one alias; an id counts more than
    an alias. ``conflicts`` has what is not used, in words, each with its source. ``specs`` are
    sorted by id, and so are the ids of those that are ``usable``. ``devices`` are those on which
    their files are.
    """

    def __init__(self, lists: Mapping[str, Sequence[ModelSpec]] | None = None) -> None:
        by_id: dict[str, ModelSpec] = {}
        self._sources: dict[str, str] = {}
        self.conflicts: list[tuple[str, str]] = []
        for source, specs in (lists or {}).items():
            for spec in specs:
                if by_id.setdefault(spec.id, spec) is not spec:
                    other = self._sources[spec.id]
                    said = f"its model {spec.id!r} is hidden by that of source {other!r}"
                    self.conflicts.append((source, said))
                else:
                    self._sources[spec.id] = source
        self._aliases: dict[str, str] = {}
        by_id = {model: self._with_aliases(spec, by_id) for model, spec in by_id.items()}
        self._listed = by_id
        by_id = {model: undescribed(spec) for model, spec in by_id.items()}
        self.specs = tuple(by_id[model] for model in sorted(by_id))
        self.usable = tuple(spec.id for spec in self.specs if spec.problem is None)
        self.devices = frozenset(spec.stamp.device for spec in self.specs if spec.stamp)
        self._by_id = by_id
        # Strings alone, because a sort keeps the interpreter's lock, and that of tuples for longer.
        self._by_key = {_compared(name): name for name in (*self._aliases, *by_id)}
        self._from_start = sorted(self._by_key)
        self._from_end = sorted(key[::-1] for key in self._by_key)

    def conflicts_by_source(self, most: int) -> Mapping[str, Sequence[str]]:
        """Return at most so many conflicts for each source, and how many more there are."""
        found: dict[str, list[str]] = {}
        for source, words in self.conflicts:
            found.setdefault(source, []).append(words)
        for said in found.values():
            if len(said) > most:
                said[most:] = [f"and {len(said) - most} more names of its models are taken"]
        return found

    def describe(self, described: Callable[[ModelSpec], ModelSpec]) -> None:
        """Fill in what backends say of the models that can be used."""
        by_id = {spec.id: spec if spec.problem else described(spec) for spec in self.specs}
        self.specs = tuple(by_id.values())
        self.usable = tuple(spec.id for spec in self.specs if spec.problem is None)
        self._by_id = by_id

    def get(self, model: str) -> ModelSpec | None:
        """Return the model of this id or alias, if there is one."""
        return self.listed(self.id_of(model))

    def listed(self, model: str) -> ModelSpec | None:
        """Return the model of this very id, if there is one."""
        return self._by_id.get(model)

    def id_of(self, name: str) -> str:
        """Return the id of the model that has this name for an alias, or else the name itself."""
        return self._aliases.get(name, name)

    def source_of(self, model: str) -> str | None:
        """Return the name of the source that has listed the model of this id or alias."""
        return self._sources.get(self.id_of(model))

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

    def _with_aliases(self, spec: ModelSpec, by_id: Mapping[str, ModelSpec]) -> ModelSpec:
        """Return a model with those of its aliases that no other model has for a name."""
        kept = []
        for alias in dict.fromkeys(spec.aliases):
            owner = alias if alias in by_id else self._aliases.setdefault(alias, spec.id)
            if owner == spec.id and alias != spec.id:
                kept.append(alias)
            elif owner != spec.id:
                said = f"the alias {alias!r} of its model {spec.id!r} is a name of {owner!r}"
                self.conflicts.append((self._sources[spec.id], said))
        return spec if tuple(kept) == spec.aliases else replace(spec, aliases=tuple(kept))


def undescribed(spec: ModelSpec) -> ModelSpec:
    """Return a model of which no backend says anything."""
    said = spec.capabilities, spec.context, spec.need_bytes, spec.fit, spec.short_by_bytes
    if said == ((), None, None, None, 0):
        return spec
    return replace(spec, capabilities=(), context=None, need_bytes=None, fit=None, short_by_bytes=0)


def _compared(model: str) -> str:
    return model.casefold().removesuffix(_SUFFIX)


def _around(order: list[str], key: str) -> list[str]:
    position = bisect_left(order, key)
    return order[max(0, position - NEIGHBOURS) : position + NEIGHBOURS]
