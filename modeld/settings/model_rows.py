# SPDX-License-Identifier: GPL-3.0-only
"""The settings of single models: which rows are for one, and what modeld itself has in them.

The weakest first: what a model's source gives, the rows whose pattern matches its id in their
order, the row of the very id, and the row of the preset that it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta

from modeld.errors import ConfigurationError
from modeld.expectation import misfit, nearest, shown
from modeld.values import ModelSpec, Value

if TYPE_CHECKING:
    from modeld.settings.table import Settings

Row: TypeAlias = dict[str, Any]
ModelOptions: TypeAlias = dict[str, Row]
"""The values are JSON; each backend knows their types."""

DEFAULT_PRESET: Final = "default"
"""The preset that serves requests which name no model."""

_MODEL: Final = "model"
_WILD: Final = frozenset("*?[")
GIVEN: Final = "sampling"
"""What a source may give of :class:`ServingOptions`; it has aliases in a place of their own."""


class ServingOptions(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What modeld itself goes by for one model, whatever its backend is."""

    aliases: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=512)], ...],
        Meta(description="other names for this one model, in every API"),
    ] = ()
    sampling: Annotated[
        Mapping[str, Any],
        Meta(description="sampling parameters for requests that do not set them"),
    ] = {}
    pin: Annotated[
        bool, Meta(description="keep the model in memory whoever needs the bytes, once it is there")
    ] = False
    preload: Annotated[bool, Meta(description="load the model when the server starts")] = False


SERVING: Final[Mapping[str, msgspec.structs.FieldInfo]] = {
    field.name: field for field in msgspec.structs.fields(ServingOptions)
}
"""The options of :class:`ServingOptions` by name."""


class Layer(Value, frozen=True, kw_only=True):
    """Options from one place, and how errors name it.

    ``is_given`` says that they come from the model's source, and so from no setting, ``is_preset``
    that they are those of a preset.
    """

    where: str
    options: Mapping[str, Any]
    is_given: bool = False
    is_preset: bool = False


def layers_of(spec: ModelSpec, settings: Settings) -> Iterator[Layer]:
    """Yield what there is for a model, the weakest first."""
    if spec.options:
        where = f"the options of source {spec.source!r}"
        yield Layer(where=where, options=spec.options, is_given=True)
    model = spec.preset_of or spec.id
    rows = settings.models
    for pattern, row in rows.items():
        if pattern != model and fnmatchcase(model, pattern):
            yield Layer(where=where_of(pattern), options=row)
    if (own := rows.get(model)) is not None:
        yield Layer(where=where_of(model), options=own)
    if spec.preset_of:
        row = settings.presets.get(spec.id, {})
        options = {name: value for name, value in row.items() if name != _MODEL}
        yield Layer(where=where_of_preset(spec.id), options=options, is_preset=True)


def serving_options_of(spec: ModelSpec, settings: Settings) -> ServingOptions:
    """Return what modeld goes by for a model. The tables ``sampling`` are merged, key by key.

    A preset has nothing else from its model: a name, or a claim on memory, is for one of the two.
    """
    merged: dict[str, Any] = {}
    sampling: dict[str, Any] = {}
    for layer in layers_of(spec, settings):
        is_own = not layer.is_given and (not spec.preset_of or layer.is_preset)
        for name in layer.options.keys() & SERVING.keys():
            if name == GIVEN:
                sampling |= layer.options[name]
            elif is_own:
                merged[name] = layer.options[name]
    return msgspec.convert(merged | {"sampling": sampling}, ServingOptions)


def says_anywhere(option: str, settings: Settings) -> bool:
    """Return whether any row has this option; to look at every model costs time with many."""
    rows = (*settings.models.values(), *settings.presets.values())
    return any(row.get(option) for row in rows)


def shares_weights(spec: ModelSpec, settings: Settings) -> bool:
    """Return whether a model is a preset in which nothing is that its load would go by.

    Such a one has the weights in memory together with the model that it is a preset of.
    """
    row = settings.presets.get(spec.id) if spec.preset_of else None
    return row is not None and row.keys() <= SERVING.keys() | {_MODEL}


def where_of(pattern: str) -> str:
    """Return how errors name a row of ``models``."""
    return f"models[{pattern!r}]"


def where_of_preset(name: str) -> str:
    """Return how errors name a preset."""
    return f"presets[{name!r}]"


def check_rows(models: ModelOptions, presets: ModelOptions, default_model: str) -> None:
    """Check what can be said of the rows before any model is known.

    Raises:
        ConfigurationError: one of them is wrong; it is named.
    """
    for pattern, row in models.items():
        _check_serving(where_of(pattern), row)
        if pattern in presets:
            raise _wrong(f"{where_of(pattern)}: this is a preset; its options stand in presets")
        if row.get("aliases") and _WILD & set(pattern):
            why = "an alias is for one model, and this row may be for several; name one by its id"
            raise _wrong(f"{where_of(pattern)}.aliases: {why}")
    for name, row in presets.items():
        _check_preset(name, row, presets)
    _check_aliases(models, presets)
    if DEFAULT_PRESET in presets and default_model not in {"", DEFAULT_PRESET}:
        raise ConfigurationError(
            f"default_model is {default_model!r}, and a preset {DEFAULT_PRESET!r} serves requests"
            " that name no model too; keep one of them",
            field="default_model",
        )


def _check_preset(name: str, row: Row, presets: ModelOptions) -> None:
    where, model = where_of_preset(name), row.get(_MODEL)
    if not 1 <= len(name) <= 512:
        raise _wrong(f"{where}: a preset has a name of 1 to 512 characters")
    if _MODEL not in row:
        near = next((key for key in row if nearest(key, [_MODEL])), None)
        hint = f"; did you mean it by {near!r}?" if near else ""
        raise _wrong(f"{where}: the name of its model is missing, as `model`{hint}")
    if not isinstance(model, str) or not model:
        raise _wrong(f"{where}.model: expected the name of a model, got {shown(model)}")
    if model in presets:
        raise _wrong(f"{where}.model: {model!r} is a preset; name the model that it is one of")
    _check_serving(where, row)


def _check_serving(where: str, row: Row) -> None:
    for name in SERVING.keys() & row.keys():
        if wrong := misfit(SERVING[name].type, row[name], f"{where}.{name}"):
            raise _wrong(wrong)


def _check_aliases(models: ModelOptions, presets: ModelOptions) -> None:
    """Refuse a name that two rows give."""
    given = {name: where_of_preset(name) for name in presets}
    rows = [(where_of(each), row) for each, row in models.items()]
    rows += [(where_of_preset(each), row) for each, row in presets.items()]
    for where, row in rows:
        for alias in dict.fromkeys(row.get("aliases", ())):
            if other := given.get(alias):
                raise _wrong(f"{where}.aliases: {alias!r} is a name of {other} too; keep one")
            given[alias] = where


def _wrong(message: str) -> ConfigurationError:
    field = "presets" if message.startswith("presets") else "models"
    return ConfigurationError(message, field=field)
