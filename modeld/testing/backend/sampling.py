# SPDX-License-Identifier: GPL-3.0-only
"""Checks of the parameters of sampling, the common ones and the backend's own."""

from __future__ import annotations

from typing import Any, Final

from msgspec import inspect

from modeld import Engine, Sampling
from modeld.errors import ModeldError
from modeld.sampling import COMMON, SamplingParameter, parameters_of
from modeld.testing.backend.generating import ENDS
from modeld.testing.backend.subject import BackendSubject, collect
from modeld.testing.contract import DisclaimedError, assert_that, check

SAMPLES: Final[dict[str, Any]] = {
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 10,
    "min_p": 0.05,
    "repeat_penalty": 1.1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "logit_bias": ((1, 1.0),),
    "ignore_eos": True,
    "seed": 7,
}
"""A value for each member of ``Sampling`` that is not its default."""


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
                    await self._try(engine, row.name, Sampling(**{row.name: SAMPLES[row.name]}))

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
    """Return a value that a backend's own sampling parameter takes."""
    match row.kind:
        case inspect.IntType() as kind:
            return kind.ge if kind.ge is not None else (kind.gt or 0) + 1
        case inspect.FloatType() as kind:
            low = kind.ge if kind.ge is not None else kind.gt or 0.0
            high = kind.le if kind.le is not None else kind.lt or low + 1.0
            return (low + high) / 2
        case inspect.BoolType():
            return True
        case inspect.LiteralType() as kind:
            return kind.values[0]
        case inspect.StrType() as kind:
            return "a" * (kind.min_length or 1)
        case _:
            return ("a",)
