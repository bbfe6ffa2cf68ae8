# SPDX-License-Identifier: GPL-3.0-only
"""Checks of the parameters of sampling, the common ones and the backend's own."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from modeld import Engine, Sampling
from modeld.errors import ModeldError
from modeld.sampling import COMMON, SamplingParameter, is_pairs, parameters_of
from modeld.testing.backend.generating import ENDS
from modeld.testing.backend.subject import BackendSubject, collect
from modeld.testing.contract import DisclaimedError, assert_that, check


class SamplingChecks(BackendSubject):
    """Each parameter is served, or refused by its name."""

    @check(ENDS)
    async def test_a_seed_makes_chance_repeatable(self) -> None:
        """The same seed gives the same text."""
        if not self.serves("seed"):
            raise DisclaimedError("seed is in unserved_sampling")
        temperature = 1.0 if self.serves("temperature") else None
        async with self.loaded() as engine:
            sampling = Sampling(temperature=temperature, seed=12345)
            texts = [
                (await collect(engine, self.request(sampling=sampling))).text for _ in range(2)
            ]
            assert_that(
                texts[0] == texts[1],
                f"seed 12345 gave {texts[0]!r} and then {texts[1]!r}; begin each request's chance"
                " with its seed, or name seed in unserved_sampling",
            )

    @check(ENDS)
    async def test_sampling_is_served_or_refused_by_name(self) -> None:
        """Each member that is not in ``unserved_sampling`` is taken, or refused with its name."""
        async with self.loaded() as engine:
            for row in COMMON:
                if self.serves(row.name):
                    await self._try(engine, row.name, Sampling(**{row.name: sample_of(row)}))

    @check(ENDS)
    async def test_its_own_sampling_is_served_or_refused_by_name(self) -> None:
        """So is each parameter that the backend itself declares."""
        rows = parameters_of(self.backend.sampling_type)
        if not rows:
            raise DisclaimedError("the backend has no sampling parameters of its own")
        async with self.loaded() as engine:
            for row in rows:
                await self._try(engine, row.name, Sampling(own={row.name: sample_of(row)}))

    async def _try(self, engine: Engine, name: str, sampling: Sampling) -> None:
        request = self.request(sampling=sampling, max_tokens=4)
        try:
            found = await collect(engine, request)
        except ModeldError as exc:
            assert_that(
                exc.field == name and exc.code in {"invalid_request", "not_supported"},
                f"a request with {name} failed with {exc.code!r}, field {exc.field!r}:"
                f" {exc.message}; serve it, refuse it with its name as the field, or name it in"
                " unserved_sampling",
            )
        else:
            assert_that(found.done, f"a request with {name} ended without a Done")


def sample_of(row: SamplingParameter) -> Any:
    """Return a value that a sampling parameter takes, not at the ends of its range."""
    match row.kind:
        case inspect.IntType() as kind:
            least = kind.ge if kind.ge is not None else (kind.gt or 0) + 1
            return least + 1 if kind.le is None or least < kind.le else least
        case inspect.FloatType() as kind:
            low = kind.ge if kind.ge is not None else kind.gt or 0.0
            high = kind.le if kind.le is not None else kind.lt or low + 1.0
            # Not the middle: that of -2 to 2 is 0, which says nothing.
            return (low + 3 * high) / 4
        case inspect.BoolType():
            return True
        case inspect.LiteralType() as kind:
            return kind.values[0]
        case inspect.StrType() as kind:
            return "a" * (kind.min_length or 1)
        case _:
            return ((1, 1.0),) if is_pairs(row.kind) else ("a",)
