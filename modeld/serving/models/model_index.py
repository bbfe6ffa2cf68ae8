# SPDX-License-Identifier: GPL-3.0-only
"""The models of all sources as of one moment: by id, in order, and by what their ids are like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from modeld.model_names import ModelNames, said_of_several
from modeld.serving.models.nearest import NearestNames
from modeld.serving.models.presets import PRESETS, preset_specs
from modeld.settings import Settings
from modeld.values import ModelSpec


class ModelIndex:
    """Made once for each scan, on whatever thread, and only ever described.

    The presets and the aliases of ``settings`` count more than what sources say. Of two models with
    one id the first counts, and so of two with one alias; an id counts more than an alias.
    ``conflicts`` has what is not used, in words, each with its source. ``specs`` are sorted by id,
    and so are the ids of those that are ``usable``, presets left out. ``devices`` are those on
    which their files are.
    """

    def __init__(
        self,
        lists: Mapping[str, Sequence[ModelSpec]] | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings()
        found = {source: tuple(map(_as_found, specs)) for source, specs in (lists or {}).items()}
        presets = preset_specs(found, settings)
        self._sources: dict[str, str] = {}
        self.conflicts: list[tuple[str, str]] = []
        by_id = self._by_id_of(({PRESETS: presets} | found) if presets else found)
        own = {
            model: tuple(row["aliases"])
            for model, row in settings.models.items()
            if "aliases" in row and model in by_id
        }
        self._aliases: dict[str, str] = {}
        for model, aliases in (own | {spec.id: spec.aliases for spec in presets}).items():
            self._aliases |= {alias: model for alias in aliases if alias not in by_id}
        by_id = {
            model: self._with_aliases(spec, own.get(model, ()), by_id)
            for model, spec in by_id.items()
        }
        self._names = names = ModelNames(tuple(by_id.values()))
        self._listed = {model: replace(spec, names=names.of(spec)) for model, spec in by_id.items()}
        self._by_id = {model: undescribed(spec) for model, spec in self._listed.items()}
        self.specs = tuple(self._by_id[model] for model in sorted(by_id))
        self.usable = _usable(self.specs)
        self.devices = frozenset(spec.stamp.device for spec in self.specs if spec.stamp)
        self._nearest = NearestNames((*self._aliases, *by_id))

    def _by_id_of(self, lists: Mapping[str, Sequence[ModelSpec]]) -> dict[str, ModelSpec]:
        by_id: dict[str, ModelSpec] = {}
        for source, specs in lists.items():
            for spec in specs:
                if by_id.setdefault(spec.id, spec) is not spec:
                    other = self._sources[spec.id]
                    said = f"its model {spec.id!r} is hidden by that of source {other!r}"
                    self.conflicts.append((source, said))
                else:
                    self._sources[spec.id] = source
        return by_id

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
        self.usable = _usable(self.specs)
        self._by_id = by_id

    def get(self, model: str) -> ModelSpec | None:
        """Return the model of this name, if it is that of one."""
        return self.listed(self.id_of(model))

    def listed(self, model: str) -> ModelSpec | None:
        """Return the model of this very id, if there is one."""
        return self._by_id.get(model)

    def id_of(self, name: str) -> str:
        """Return the id of the one model that the name means, or else the name itself."""
        found = self._names.find(name)
        return found[0] if len(found) == 1 else name

    def source_of(self, model: str) -> str | None:
        """Return the name of the source that has listed the model of this name, or its file."""
        spec = self.get(model)
        return None if spec is None else self._sources.get(spec.preset_of or spec.id)

    def lists_the_same(self, other: ModelIndex) -> bool:
        """Return whether the models of both are equal; compared one by one, for the same reason.

        What they can be asked for does not count.
        """
        return self._sources == other._sources and all(
            spec == other._listed[model] for model, spec in self._listed.items()
        )

    def nearest(self, model: str) -> str:
        """Return ``; did you mean X?`` for a name that is much like this one, or nothing.

        Where it may mean several models, it is these that are named.
        """
        several = self._names.find(model)
        return said_of_several(several) if len(several) > 1 else self._nearest.hint(model)

    def _with_aliases(
        self, spec: ModelSpec, own: Sequence[str], by_id: Mapping[str, ModelSpec]
    ) -> ModelSpec:
        """Return a model with those of its aliases that no other model has for a name.

        ``own`` are those that the settings give it.
        """
        kept = []
        for alias in dict.fromkeys((*own, *spec.aliases)):
            owner = alias if alias in by_id else self._aliases.setdefault(alias, spec.id)
            if owner == spec.id and alias != spec.id:
                kept.append(alias)
            elif owner != spec.id:
                said = f"the alias {alias!r} of its model {spec.id!r} is a name of {owner!r}"
                self.conflicts.append((self._sources[spec.id], said))
        return spec if tuple(kept) == spec.aliases else replace(spec, aliases=tuple(kept))


def undescribed(spec: ModelSpec) -> ModelSpec:
    """Return a model of which no backend says anything."""
    bare = replace(
        spec,
        capabilities=(),
        context=None,
        need_bytes=None,
        fit=None,
        short_by_bytes=0,
        gives_up="",
    )
    return spec if bare == spec else bare


def _as_found(spec: ModelSpec) -> ModelSpec:
    """Return a model without what only the service says of it."""
    return replace(spec, names=(), preset_of="") if spec.names or spec.preset_of else spec


def _usable(specs: Sequence[ModelSpec]) -> tuple[str, ...]:
    return tuple(spec.id for spec in specs if spec.problem is None and not spec.preset_of)
