# SPDX-License-Identifier: GPL-3.0-only
"""The models that requests name, found among those that the service knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modeld.dialects import Call
from modeld.dialects.body import wrong
from modeld.errors import InvalidModelError, ModelNotFoundError
from modeld.model_names import ModelNames, said_of_several
from modeld.values import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model that a request names: its id, and what is known of it.

    Without a ``spec`` it is not known yet: its file may have come since models were looked for, and
    the service will look again.
    """

    id: str
    spec: ModelSpec | None = None

    def has(self, capability: str) -> bool:
        """Return whether the model can be asked for something."""
        return self.spec is not None and capability in self.spec.capabilities


class Catalogue:
    """Finds models by name. What it has worked out holds until the service's list is another."""

    def __init__(self) -> None:
        self._specs: Sequence[ModelSpec] = ()
        self._names = ModelNames(())
        self._by_id: Mapping[str, ModelSpec] = {}

    async def find(self, name: str | None, call: Call) -> Named:
        """Return the model of this name; without one the default model, if there is any.

        Raises:
            ModelNotFoundError: the name may mean several models.
        """
        specs = await call.service.models()
        if specs is not self._specs:
            self._specs, self._names = specs, ModelNames(specs)
            self._by_id = {spec.id: spec for spec in specs}
        wanted = name or await call.service.default_model()
        found = self._names.find(wanted)
        if len(found) > 1:
            why = f"model {wanted!r} not found{said_of_several(found)}"
            raise ModelNotFoundError(why, field="model")
        model = found[0] if found else wanted
        return Named(id=model, spec=self._by_id.get(model))

    def seen(self, model: str) -> ModelSpec | None:
        """Return what is known of the model of this name, as of the last look."""
        found = self._names.find(model)
        return self._by_id[found[0]] if len(found) == 1 else None

    async def known(self, name: str | None, call: Call) -> ModelSpec:
        """Return what is known of a model that can be used.

        Raises:
            InvalidRequestError: no model is named, and there is no default model.
            ModelNotFoundError: there is none of this name, or there are several.
            InvalidModelError: its file cannot be used.
        """
        named = await self.find(name, call)
        if not named.id:
            raise wrong("model", "must be given")
        if named.spec is None:
            raise ModelNotFoundError(f"model {named.id!r} not found", field="model")
        if problem := named.spec.problem:
            raise InvalidModelError(f"model {named.id!r} cannot be used: {problem}", field="model")
        return named.spec
