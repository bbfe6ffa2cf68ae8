# SPDX-License-Identifier: GPL-3.0-only
"""What a worker is sent for, without a worker."""

from collections.abc import Mapping, Sequence

import pytest

from modeld import ModelSpec, StepChunk, StepEngine
from modeld.errors import InvalidModelError, LoadFailedError
from modeld.hosting.channel.frames import Call, Load, Loaded, Returned, Sessions
from modeld.hosting.worker import errands
from modeld.hosting.worker.errands import open_engine
from modeld.interfaces import ReportProgress
from modeld.requests import AnyRequest

SPEC = ModelSpec(id="m", name="m", path="/m")


class Openable(StepEngine):
    """Opens as the options say."""

    slots = 1

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> StepEngine:
        error = options.get("raises")
        if isinstance(error, Exception):
            raise error
        progress(0.5)
        return options["returns"] if "returns" in options else cls()  # type: ignore[return-value]

    def submit(self, request_id: int, request: AnyRequest) -> None:
        raise NotImplementedError

    def step(self) -> Sequence[tuple[int, StepChunk]]:
        raise NotImplementedError

    def cancel(self, request_id: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def say(spec: ModelSpec, options: Mapping[str, object]) -> object:
    """Returns or raises what the options say."""
    error = options.get("raises")
    if isinstance(error, Exception):
        raise error
    return options.get("returns", [spec.id, options])


ENGINE = f"{__name__}:Openable"


def test_an_engine_is_found_by_module_and_class() -> None:
    told: list[float] = []
    engine = open_engine(ENGINE, SPEC, {}, told.append)
    assert type(engine).__name__ == "Openable"
    assert told == [0.5]


def test_an_error_of_modelds_own_goes_through() -> None:
    error = InvalidModelError("no such tensor")
    with pytest.raises(InvalidModelError) as caught:
        open_engine(ENGINE, SPEC, {"raises": error}, lambda _done: None)
    assert caught.value is error


def test_any_other_error_is_a_failed_load_that_names_it_and_has_its_traceback() -> None:
    with pytest.raises(LoadFailedError, match=r"KeyError: 'blk\.0'") as raised:
        open_engine(ENGINE, SPEC, {"raises": KeyError("blk.0")}, lambda _done: None)
    assert raised.value.log_tail[0] == "Traceback (most recent call last):"
    assert raised.value.log_tail[-1] == "KeyError: 'blk.0'"


@pytest.mark.parametrize(
    "name", ["no.such.module:X", f"{__name__}:NoSuchClass", __name__, "", ":", "json:dumps"]
)
def test_a_name_that_leads_nowhere_is_a_failed_load(name: str) -> None:
    with pytest.raises(LoadFailedError):
        open_engine(name, SPEC, {}, lambda _done: None)


def test_what_is_opened_must_be_an_engine() -> None:
    with pytest.raises(LoadFailedError, match="returned 'engine', not a StepEngine"):
        open_engine(ENGINE, SPEC, {"returns": "engine"}, lambda _done: None)


FUNCTION = f"{__name__}:say"


def call(**options: object) -> object:
    return errands.call(FUNCTION, SPEC, options)


def test_an_errand_is_a_load_or_a_call() -> None:
    load = Load(engine=ENGINE, spec=SPEC, options={})
    assert isinstance(errands.run(load, lambda _done: None), StepEngine)
    errand = Call(function=FUNCTION, spec=SPEC, options={"slots": 2})
    assert errands.run(errand, lambda _done: None) == Returned(result=["m", {"slots": 2}])


@pytest.mark.parametrize(
    ("result", "plain"),
    [(None, None), ((1, (2.5,)), [1, [2.5]]), ({"a": {3: True}}, {"a": {"3": True}})],
)
def test_what_a_function_returns_is_plain_wherever_it_runs(result: object, plain: object) -> None:
    assert call(returns=result) == plain


@pytest.mark.parametrize("result", [object(), lambda: 1, "\ud800"])
def test_what_is_no_plain_data_is_a_failed_load(result: object) -> None:
    with pytest.raises(LoadFailedError):
        call(returns=result)


def test_what_a_function_raises_is_passed_on_as_in_a_load() -> None:
    error = InvalidModelError("no such tensor")
    with pytest.raises(InvalidModelError) as caught:
        call(raises=error)
    assert caught.value is error
    with pytest.raises(LoadFailedError, match=r"KeyError: 'blk\.0'"):
        call(raises=KeyError("blk.0"))


@pytest.mark.parametrize("name", ["no.such.module:x", f"{__name__}:nothing", "", "math:pi"])
def test_a_function_that_is_not_there_is_a_failed_load(name: str) -> None:
    with pytest.raises(LoadFailedError):
        errands.call(name, SPEC, {})


@pytest.mark.parametrize(
    ("result", "why"), [({"a": 2**70}, "a number"), ("x" * (65 << 20), "over the limit")]
)
def test_a_result_that_cannot_be_handed_over_is_a_failed_load(result: object, why: str) -> None:
    with pytest.raises(LoadFailedError, match=why):
        errands.run(
            Call(function=FUNCTION, spec=SPEC, options={"returns": result}), lambda _done: None
        )


def test_sessions_that_cannot_be_used_keep_no_engine_from_serving(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Forgetful(Openable):
        def open_sessions(self, path: str, most_bytes: int) -> None:
            raise OSError(f"{path} of {most_bytes} bytes")

        def save_sessions(self) -> None:
            raise OSError("full")

    load = Load(
        engine=ENGINE,
        spec=SPEC,
        options={"returns": Forgetful()},
        sessions=Sessions(path="/f", most_bytes=7),
    )
    engine = errands.run(load, lambda _done: None)
    assert isinstance(engine, Forgetful)
    errands.save_sessions(engine)
    said = capsys.readouterr().err
    assert "OSError: /f of 7 bytes" in said
    assert "OSError: full" in said


def test_memory_that_runs_out_is_a_failed_load() -> None:
    with pytest.raises(LoadFailedError, match="out of memory"):
        open_engine(ENGINE, SPEC, {"raises": MemoryError()}, lambda _done: None)


def test_an_engine_says_what_was_loaded() -> None:
    engine = open_engine(ENGINE, SPEC, {}, lambda _done: None)
    assert errands.loaded(engine) == Loaded(slots=1, held_bytes=0)


def test_an_engine_that_cannot_say_its_slots_is_a_failed_load() -> None:
    class Slotless(Openable):
        @property
        def slots(self) -> int:  # type: ignore[override]
            raise AttributeError("slots")

    with pytest.raises(LoadFailedError, match="AttributeError: slots"):
        errands.loaded(Slotless())
