# SPDX-License-Identifier: GPL-3.0-only
"""The models that requests name, found among those that the service knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modeld.dialects import Call
from modeld.dialects.body import wrong
from modeld.errors import InvalidModelError, ModelNotFoundError
from modeld.values import ModelSpec
from modeld_ollama.models.names import Names


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
        self._names = Names(())

    async def find(self, name: str | None, call: Call) -> Named:
        """Return the model of this name; without one the default model, if there is any.

        Raises:
            ModelNotFoundError: the name may mean several models.
        """
        specs = await call.service.models()
        if specs is not self._specs:
            self._specs, self._names = specs, Names(specs)
        wanted = name or await call.service.default_model()
        spec = self._names.find(wanted)
        return Named(id=spec.id if spec else wanted, spec=spec)

    def seen(self, model: str) -> ModelSpec | None:
        """Return what is known of the model of this id, as of the last look."""
        return self._names.find(model)

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
