# SPDX-License-Identifier: GPL-3.0-only
"""The presets of the settings, as models beside those that they are presets of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from modeld.model_names import ModelNames, said_of_several
from modeld.serving.models.nearest import NearestNames
from modeld.settings import Settings
from modeld.settings.model_rows import where_of_preset
from modeld.values import ModelSpec

PRESETS: Final = "presets"
"""What stands in the place of a source's name for them."""


def preset_specs(
    lists: Mapping[str, Sequence[ModelSpec]], settings: Settings
) -> Sequence[ModelSpec]:
    """Return a model for each preset; one whose model is not among ``lists`` has a problem."""
    if not settings.presets:
        return ()
    models: dict[str, ModelSpec] = {}
    for spec in (spec for specs in lists.values() for spec in specs):
        models.setdefault(spec.id, spec)
    names = ModelNames([with_aliases(spec, settings) for spec in models.values()])
    return [_preset(name, row, models, names, settings) for name, row in settings.presets.items()]


def with_aliases(spec: ModelSpec, settings: Settings) -> ModelSpec:
    """Return a model with the aliases of its row too."""
    own = settings.models.get(spec.id, {}).get("aliases", ())
    return replace(spec, aliases=(*own, *spec.aliases)) if own else spec


def _preset(
    name: str,
    row: Mapping[str, Any],
    models: Mapping[str, ModelSpec],
    names: ModelNames,
    settings: Settings,
) -> ModelSpec:
    model, aliases = row["model"], tuple(row.get("aliases", ()))
    found = names.find(model)
    if len(found) == 1 and found[0] not in settings.presets:
        return replace(models[found[0]], id=name, aliases=aliases, preset_of=found[0])
    if len(found) == 1:
        why = f"{model!r} has the name of a preset, which hides it"
    else:
        hint = said_of_several(found) if found else NearestNames(models).hint(model)
        why = f"there is no model {model!r}{hint}"
    problem = f"{where_of_preset(name)}.model: {why}"
    return ModelSpec(id=name, name=name, path="", aliases=aliases, preset_of=model, problem=problem)
