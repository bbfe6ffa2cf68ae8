# SPDX-License-Identifier: GPL-3.0-only
"""The dialects under test, and the examples that their routes give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from msgspec.structs import replace

from modeld import Settings
from modeld.dialects import Dialect, DialectRoute, GenerationRoute, PlainRoute
from modeld.testing.contract import Contract, DisclaimedError, UntestedError
from modeld.testing.contracts.hooks import things
from modeld.testing.doubles.application import MODEL, ObligingService, serving
from modeld.testing.doubles.client import Leaving, Received, ask


@dataclass(frozen=True, slots=True)
class Example:
    """A body that a route gives for an example."""

    dialect: Dialect
    route: DialectRoute
    body: object


class DialectSubject(Contract):
    """What the checks of dialects have in common.

    ``plugin`` has the hook ``modeld_register_dialects``; the examples are those of its routes.
    """

    subjects: ClassVar[tuple[str, ...]] = ("plugin",)

    plugin: object

    def brought(self) -> list[Any]:
        """Return what the hook returns, made anew."""
        return things(self.plugin, "modeld_register_dialects", settings=Settings(), parameters=())

    def dialects(self) -> list[Dialect]:
        """Return the plugin's dialects, made anew."""
        return [each for each in self.brought() if isinstance(each, Dialect)]

    def examples(self, kind: type[Any] | tuple[type[Any], ...] = ()) -> Iterator[Example]:
        """Yield the examples of all routes, or of those of one kind.

        Raises:
            UntestedError: a route has none.
        """
        for dialect in self.dialects():
            for route in dialect.routes():
                if isinstance(route, PlainRoute) or (kind and not isinstance(route, kind)):
                    continue
                if not route.body_examples:
                    raise UntestedError(f"give the route {route.path} an example in body_examples")
                yield from (Example(dialect, route, body) for body in route.body_examples.values())

    def generations(self) -> list[Example]:
        """Return the examples that ask for text.

        Raises:
            DisclaimedError: there are none.
        """
        found = list(self.examples(GenerationRoute))
        if not found:
            raise DisclaimedError("no route generates")
        return found

    async def post(
        self, example: Example, service: ObligingService, leaves: Leaving = None
    ) -> Received:
        """Return what comes of an example, whose model the service has."""
        if isinstance(example.body, dict) and isinstance(example.body.get("model"), str):
            service.specs = (MODEL, replace(MODEL, id=example.body["model"]))
        async with serving(self.plugin, service) as app:
            path = example.route.path.replace("{id}", MODEL.id)
            return await ask(app, "POST", path, body=example.body, leaves=leaves)
