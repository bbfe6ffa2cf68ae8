# SPDX-License-Identifier: GPL-3.0-only
"""Backends that are each wrong in one way, with the one check that must find it."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from modeld import (
    Backend,
    Capability,
    Chunk,
    Done,
    Engine,
    EngineHost,
    FinishReason,
    GenerateRequest,
    MemoryEstimate,
    ModelSpec,
    Options,
    StepChunk,
    StepEngine,
    Token,
    Usage,
)
from modeld.errors import InvalidRequestError
from modeld.interfaces import ReportProgress
from modeld.requests import AnyRequest
from modeld.responses import AnyUnaryResponse
from modeld.values import FitStep
from tests.testing.toys import (
    CONTEXT,
    SIZE,
    OwnToy,
    SimpleToy,
    Toy,
    ToyEngine,
    ToyOptions,
    ToyOwnEngine,
    ToySimpleEngine,
)

Plan = list[StepChunk | AnyUnaryResponse]

MUTANTS: list[tuple[type[Backend], str]] = []
"""Each with the name of its check."""


def fails(check: str) -> Any:
    """Note which check must find the mutant, and only that."""

    def note(mutant: type) -> type:
        backend = mutant
        if issubclass(mutant, StepEngine):
            base = SimpleToy if issubclass(mutant, ToySimpleEngine) else Toy
            backend = type(f"{mutant.__name__}Backend", (base,), {"engine": mutant})
        elif issubclass(mutant, ToyOwnEngine):
            backend = type(f"{mutant.__name__}Backend", (OwnToy,), {"own_engine": mutant})
        MUTANTS.append((backend, check))
        return mutant

    return note


def planned(engine: ToyEngine, request_id: int) -> list[Any]:
    return engine.plans[request_id]


# What a backend declares.


@fails("test_it_has_a_name")
class Nameless(Toy):
    name = " "


class BadDefaults(ToyOptions, frozen=True):
    pace: Any = object()


@fails("test_its_options_go_to_a_worker_and_back")
class StrangeOptions(Toy):
    options_type = BadDefaults

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        return await super().load(spec, ToyOptions(slots=options.slots), host)


class TakenNames(ToyOptions, frozen=True):
    pin: bool = False


@fails("test_its_options_go_to_a_worker_and_back")
class HasOptionsOfModeld(Toy):
    options_type = TakenNames


@fails("test_its_sampling_parameters_are_declared")
class ServesLessThanNothing(Toy):
    unserved_sampling = ("warmth",)


@fails("test_its_warm_imports_are_modules")
class ImportsNothing(Toy):
    warm_imports = ("toy_runtime_that_is_not_there",)


@fails("test_foreign_models_are_refused")
class TakesAll(Toy):
    def can_load(self, spec: ModelSpec) -> bool:
        return True


@fails("test_its_own_model_is_taken_by_its_spec_alone")
class ReadsTheFile(Toy):
    def can_load(self, spec: ModelSpec) -> bool:
        return Path(spec.path).is_file() and super().can_load(spec)


@fails("test_can_load_is_quick")
class TakesItsTime(Toy):
    def can_load(self, spec: ModelSpec) -> bool:
        time.sleep(0.06)
        return super().can_load(spec)


@fails("test_its_capabilities_are_known")
class WordsForCapabilities(Toy):
    calls = itertools.count()

    def capabilities(self, spec: ModelSpec, options: Options) -> Collection[Capability]:
        declared = {*super().capabilities(spec, options)}
        return declared | {"flight"}  # type: ignore[arg-type]  # that is the fault


@fails("test_its_advice_is_text")
class SpeaksInLines(Toy):
    def advice(self, missing: Capability, spec: ModelSpec, options: Options) -> str:
        return "first line\nsecond line"


@fails("test_the_context_is_a_number_or_unknown")
class EndlessContext(Toy):
    def context(self, spec: ModelSpec, options: Options) -> int | None:
        return float(CONTEXT)  # type: ignore[return-value]  # that is the fault


@fails("test_its_fit_steps_leave_what_is_fixed")
class TakesWhatWasSet(Toy):
    def fit_steps(
        self, spec: ModelSpec, options: Options, fixed: Collection[str], most_bytes: int
    ) -> Iterable[FitStep]:
        return [FitStep(name="slots", gives_up="all slots but one", changes={"slots": 1})]


@fails("test_its_fit_steps_leave_what_is_fixed")
class NoSuchStep(Toy):
    def fit_steps(
        self, spec: ModelSpec, options: Options, fixed: Collection[str], most_bytes: int
    ) -> Iterable[FitStep]:
        if "slots" not in fixed:
            yield FitStep(name="slots", gives_up="all slots", changes={"slots": 0})


@fails("test_the_estimate_is_whole_and_positive")
class HalfBytes(Toy):
    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        return MemoryEstimate(weights_bytes=SIZE, kv_bytes=0.5)  # type: ignore[arg-type]  # that is the fault


@fails("test_the_estimate_is_whole_and_positive")
class MoreOnGpus(Toy):
    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        return MemoryEstimate(weights_bytes=SIZE, on_gpus={"gpu0": SIZE, "gpu1": 1})


@fails("test_the_estimate_is_whole_and_positive")
class StrangeGpu(Toy):
    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        return MemoryEstimate(weights_bytes=SIZE, on_gpus={"CUDA0": 1})


@fails("test_the_estimate_is_the_same_each_time")
class Wavers(Toy):
    calls = itertools.count(SIZE)

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        return MemoryEstimate(weights_bytes=next(self.calls))


@fails("test_the_estimate_is_quick")
class Ponders(Toy):
    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        time.sleep(0.12)
        return super().estimate(spec, options)


# How it loads.


@fails("test_the_estimate_is_near_what_is_held")
class Pessimist(Toy):
    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        return MemoryEstimate(weights_bytes=1 << 30)


@fails("test_a_measurement_is_near_what_is_held")
class MeasuresWrong(Toy):
    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        return MemoryEstimate(weights_bytes=1 << 30)


@fails("test_a_load_returns_an_engine")
class NoSlots(ToyEngine):
    def __init__(self, held_bytes: int, slots: int) -> None:
        super().__init__(held_bytes, 0)


@fails("test_what_a_load_reports_is_a_part_of_it")
class CountsPercent(ToyEngine):
    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> ToyEngine:
        return super().open(spec, options, lambda part: progress(part * 100))


@fails("test_the_loop_goes_on_during_a_load")
class BlocksWhileLoading(OwnToy):
    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        time.sleep(0.07)  # noqa: ASYNC251  (that is the fault)
        return await super().load(spec, options, host)


@fails("test_a_missing_file_fails_the_load")
class LoadsNothing(ToyEngine):
    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> ToyEngine:
        if not Path(spec.path).exists():
            return cls(SIZE, options["slots"])
        return super().open(spec, options, progress)


@fails("test_a_missing_file_fails_the_load")
class LeavesAThreadBehind(Toy):
    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        if spec.path.endswith("not-there"):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        return await super().load(spec, options, host)


@fails("test_a_cut_file_fails_the_load_or_serves")
class NoticesLate(ToyEngine):
    is_whole = True

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> ToyEngine:
        content = Path(spec.path).read_bytes()
        engine = cls(SIZE, options["slots"])
        engine.is_whole = len(content) > SIZE
        return engine

    def submit(self, request_id: int, request: AnyRequest) -> None:
        if not self.is_whole:
            raise InvalidRequestError("the weights end here")
        super().submit(request_id, request)


@fails("test_nothing_is_left_of_a_load_that_was_cancelled")
class IgnoresCancellation(Toy):
    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            raise
        return await super().load(spec, options, host)


@fails("test_nothing_is_left_of_a_load_that_was_cancelled")
class ForgetsHalfALoad(Toy):
    """Frees what it took where it is cancelled at once, and not later."""

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            raise
        return await super().load(spec, options, host)


@fails("test_nothing_is_left_of_a_model_that_was_closed")
class KeepsItsFileOpen(ToyEngine):
    kept: list[Any] = []

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> ToyEngine:
        engine = super().open(spec, options, progress)
        cls.kept.append(Path(spec.path).open("rb"))  # noqa: SIM115  (that is the fault)
        return engine


@fails("test_memory_comes_back")
class Hoards(ToyEngine):
    kept: list[bytes] = []

    def close(self) -> None:
        super().close()
        self.kept.append(b"x" * (2 << 20))


# What it generates.


@fails("test_a_generation_ends_once")
class TalksOn(ToyEngine):
    def step(self) -> Sequence[tuple[int, StepChunk | AnyUnaryResponse]]:
        produced = super().step()
        ended = [said for said, chunk in produced if isinstance(chunk, Done)]
        return [*produced, *((said, Token(text="more")) for said in ended)]


@fails("test_a_generation_ends_once")
class OwnTalksOn(ToyOwnEngine):
    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().generate(request):
            yield chunk
        yield Token(text="more")


@fails("test_a_generation_ends_once")
class NeverSaysWhy(ToyOwnEngine):
    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().generate(request):
            if not isinstance(chunk, Done):
                yield chunk


@fails("test_texts_are_there_and_can_be_sent")
class SaysNothing(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        if isinstance(request, GenerateRequest) and request.max_tokens == 24 and not request.stop:
            planned(self, request_id)[4] = Token(text="")


@fails("test_characters_are_whole")
class CutsCharacters(ToySimpleEngine):
    def generate(self, request: GenerateRequest) -> Any:
        for word in super().generate(request):
            if "\N{BALLOON}" in (request.prompt or "") and not word.isascii():
                yield "\N{REPLACEMENT CHARACTER}"
                yield "\N{REPLACEMENT CHARACTER}"
            else:
                yield word


@fails("test_usage_is_counted")
class Miscounts(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        plan = planned(self, request_id)
        if isinstance(request, GenerateRequest) and request.max_tokens == 24:
            plan[-1] = replace(plan[-1], usage=Usage(prompt_tokens=1, completion_tokens=1))


@fails("test_max_tokens_bounds_a_generation")
class SaysOneMore(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        if isinstance(request, GenerateRequest) and request.max_tokens == 3:
            planned(self, request_id).insert(0, Token(text=" well,"))


@fails("test_max_tokens_bounds_a_generation")
class CallsItStop(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        plan = planned(self, request_id)
        if isinstance(plan[-1], Done) and plan[-1].finish_reason is FinishReason.LENGTH:
            plan[-1] = replace(plan[-1], finish_reason=FinishReason.STOP)


@fails("test_a_generation_is_repeatable")
class Moody(ToyEngine):
    calls = itertools.count()

    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        plan = planned(self, request_id)
        is_plain = isinstance(request, GenerateRequest) and request.logprobs is None
        if is_plain and request.sampling.temperature == 0:
            plan[0] = Token(text=f"{next(self.calls)}") if len(plan) > 3 else plan[0]


@fails("test_a_stop_text_ends_a_generation")
class StopsAfterThePiece(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        if isinstance(request, GenerateRequest) and request.stop:
            planned(self, request_id).insert(-1, Token(text=request.stop[0]))


@fails("test_a_stop_text_ends_a_generation")
class OverlooksLongStops(ToyEngine):
    """Looks for stop texts in single pieces only."""

    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and " " in "".join(request.stop)[1:]:
            request = replace(request, stop=())
        super().submit(request_id, request)


@fails("test_a_seed_makes_chance_repeatable")
class IgnoresSeeds(ToyEngine):
    calls = itertools.count()

    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        if isinstance(request, GenerateRequest) and request.sampling.temperature:
            planned(self, request_id).insert(0, Token(text=f"{next(self.calls)}"))


@fails("test_sampling_is_served_or_refused_by_name")
class RefusesNamelessly(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and request.sampling.top_k:
            raise InvalidRequestError("no")
        super().submit(request_id, request)


@fails("test_its_own_sampling_is_served_or_refused_by_name")
class TripsOverItsOwn(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest) and request.sampling.own:
            raise InvalidRequestError("no")
        super().submit(request_id, request)


@fails("test_steps_are_short")
class StepsSlowly(ToyEngine):
    def step(self) -> Sequence[tuple[int, StepChunk | AnyUnaryResponse]]:
        if any(len(plan) == 20 for plan in self.plans.values()):
            time.sleep(0.11)
        return super().step()


@fails("test_the_loop_goes_on_during_a_generation")
class BlocksWhileGenerating(ToyOwnEngine):
    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().generate(request):
            if request.max_tokens == 24 and isinstance(chunk, Done):
                time.sleep(0.07)  # noqa: ASYNC251  (that is the fault)
            yield chunk


@fails("test_slots_serve_at_once_and_apart")
class MixesUp(ToyEngine):
    def submit(self, request_id: int, request: AnyRequest) -> None:
        super().submit(request_id, request)
        others = [plan for other, plan in self.plans.items() if other != request_id]
        if isinstance(request, GenerateRequest) and str(request.prompt).startswith("1 ") and others:
            self.plans[request_id] = [*others[0]]
