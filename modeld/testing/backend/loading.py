# SPDX-License-Identifier: GPL-3.0-only
"""Checks that a model comes into memory, and that it leaves it again."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from modeld import Engine, ModelSpec
from modeld.errors import ModeldError
from modeld.testing.backend.host import DrivingHost
from modeld.testing.backend.subject import (
    BackendSubject,
    check_estimate,
    check_on_gpus,
    check_whole_number,
    collect,
)
from modeld.testing.contract import DisclaimedError, assert_that, check
from modeld.testing.leftovers import nothing_left
from modeld.testing.loop_watch import check_free_loop

SLACK_BYTES: Final = 64 << 20
"""What an estimate may be off by in any case: what a process holds beside the model."""

LOADED: Final = "test_a_load_returns_an_engine"


class LoadingChecks(BackendSubject):
    """Loads, good and bad ones."""

    @check()
    async def test_a_load_returns_an_engine(self) -> None:
        """It says how many requests it serves, and what it holds."""
        async with self.loaded() as engine:
            assert_that(
                isinstance(engine, Engine),
                f"load returned {engine!r}; return an Engine, most often `await host.start(...)`",
            )
            check_whole_number("the engine's slots", engine.slots, 1)
            check_whole_number("the engine's held_bytes", engine.held_bytes, 0)
            held_on_gpus = engine.held_on_gpus
            check_on_gpus("the engine's held_on_gpus", held_on_gpus, engine.held_bytes)
            if engine.pid is not None:
                check_whole_number("the engine's pid", engine.pid, 1)

    @check(LOADED)
    async def test_what_a_load_reports_is_a_part_of_it(self) -> None:
        """Progress goes from 0.0 to 1.0."""
        host = DrivingHost()
        engine = await self.backend.load(self.spec, self.typed_options, host)
        if engine not in host.engines:
            await engine.aclose()
        await host.aclose()
        wrong = [each for each in host.fractions if not _is_part(each)]
        assert_that(
            not wrong, f"progress was called with {wrong}; it takes parts of the load, 0.0 to 1.0"
        )

    @check(LOADED)
    async def test_the_loop_goes_on_during_a_load(self) -> None:
        """Nothing blocks the event loop meanwhile."""

        async def load() -> None:
            async with self.loaded():
                pass

        await check_free_loop(self.quick_s, "a load", load)

    @check(LOADED)
    async def test_the_estimate_is_near_what_is_held(self) -> None:
        """What was expected is about what the loaded model holds."""
        estimate = self.backend.estimate(self.spec, self.typed_options).total_bytes
        async with self.loaded() as engine:
            held = engine.held_bytes
        if held == 0:
            raise DisclaimedError("the engine does not say what it holds")
        self._check_near("the estimate", estimate, held)

    @check(LOADED)
    async def test_a_measurement_is_near_what_is_held(self) -> None:
        """What was measured without a load is about what the loaded model holds."""
        host = DrivingHost()
        measured: object = await self.backend.measure(self.spec, self.typed_options, host)
        if measured is None:
            raise DisclaimedError("the backend does not measure: measure returns None")
        found = check_estimate("measure", measured)
        async with self.loaded() as engine:
            if engine.held_bytes:
                self._check_near("the measurement", found.total_bytes, engine.held_bytes)

    @check()
    async def test_a_missing_file_fails_the_load(self) -> None:
        """A load of what is not there fails, and says so."""
        self._file()
        async with nothing_left("a load that failed"):
            why = await self._refusal(self.without_file())
        assert_that(
            why is not None,
            "a model whose file is not there was loaded; raise an error in load or in the engine's"
            " open where the file cannot be read",
        )
        assert_that(
            why, "the load failed without a word; say in the exception's text what is wrong"
        )

    @check(LOADED)
    async def test_a_cut_file_fails_the_load_or_serves(self) -> None:
        """Half a file is refused, or is a model as good as any."""
        with tempfile.TemporaryDirectory() as folder:
            spec = self._half(Path(folder))
            if await self._refusal(spec) is not None:
                return
            host = DrivingHost()
            try:
                engine = await self.backend.load(spec, self.typed_options, host)
                found = await collect(engine, self.request(max_tokens=4))
            except ModeldError as exc:
                raise AssertionError(
                    "half of the model's file was loaded, and then the first request failed"
                    f" ({exc.message}); look at the file's size in open, and fail the load"
                ) from exc
            finally:
                await host.aclose()
            assert_that(found.done, "half of the model's file was loaded, and generates no end")

    async def _refusal(self, spec: ModelSpec) -> str | None:
        """Return why a load has failed, or ``None`` if it has not."""
        host = DrivingHost()
        try:
            engine = await self.backend.load(spec, self.typed_options, host)
        except Exception as exc:  # noqa: BLE001  (any exception fails a load)
            return exc.message if isinstance(exc, ModeldError) else str(exc)
        finally:
            await host.aclose()
        if engine not in host.engines:
            await engine.aclose()
        return None

    def _file(self) -> Path:
        """Return the model's file.

        Raises:
            DisclaimedError: the model is no file of this machine.
        """
        path = Path(self.spec.path)
        if not path.is_file():
            raise DisclaimedError(f"the model is no file: {path}")
        return path

    def _half(self, folder: Path) -> ModelSpec:
        """Return the model with the first half of its file."""
        content = self._file()
        half = folder / content.name
        with content.open("rb") as whole, half.open("wb") as cut:
            cut.write(whole.read(content.stat().st_size // 2))
        return replace(self.spec, path=str(half), size_bytes=half.stat().st_size)

    def _check_near(self, what: str, expected: int, held: int) -> None:
        most, least = max(expected, held), min(expected, held)
        assert_that(
            most <= least * self.estimate_within + SLACK_BYTES,
            f"{what} is {expected:,} bytes and the model holds {held:,}; one of them is wrong by"
            f" more than the factor {self.estimate_within:g}",
        )


def _is_part(fraction: object) -> bool:
    is_number = isinstance(fraction, int | float) and not isinstance(fraction, bool)
    return is_number and math.isfinite(float(str(fraction))) and 0 <= float(str(fraction)) <= 1
