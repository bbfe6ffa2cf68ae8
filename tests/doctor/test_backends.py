# SPDX-License-Identifier: GPL-3.0-only
"""How backends are asked, and with which model they measure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from click import Option
from modeld_llama_cpp.doctor import findings

from modeld import Backend, EngineHost, Finding, ModelSpec, Options
from modeld.cli.commands.doctor import command
from modeld.device_bytes import UNLIMITED, DeviceBytes
from modeld.doctor import backends
from modeld.doctor.backends import diagnose_backends, subject
from modeld.doctor.inventory import Inventory, Loadable
from modeld.doctor.report import Group, ok
from modeld.errors import BackendUnavailableError, LoadFailedError
from modeld.hosting.host import ThreadHosting
from modeld.settings import Settings
from tests.support.doctor.another_machine import MIB, only, spec, stocked
from tests.support.plugins.some_plugins import Thing


class Talkative(Thing):
    """Says or raises what it is given, and remembers for which model."""

    def __init__(self, name: str, says: object) -> None:
        super().__init__(name, loads=True)
        self._says = says
        self.asked: list[tuple[str | None, Options]] = []

    async def diagnose(
        self, spec: ModelSpec | None, options: Options, host: EngineHost
    ) -> Sequence[Finding]:
        self.asked.append((spec.id if spec else None, options))
        host.progress(0.5)
        if isinstance(self._says, BaseException):
            raise self._says
        if self._says == "hang":
            await asyncio.Event().wait()
        return self._says  # type: ignore[return-value]


class UnwritableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def group_of(*asked: Backend, measured: Loadable | None = None) -> Group:
    hosting = ThreadHosting(Settings())
    diagnosed = diagnose_backends(asked, measured, hosting, lambda _fraction: None)
    return asyncio.run(diagnosed)


def test_every_backend_is_asked_and_only_one_gets_the_model():
    mine, other = Talkative("mine", [ok("a", "fine")]), Talkative("other", [])
    options = Options(slots=3)
    measured = Loadable(spec=spec("m"), backend=mine, options=options, need=DeviceBytes(1))
    findings = group_of(mine, other, measured=measured).findings
    assert mine.asked == [("m", options)]
    assert other.asked == [(None, Options())]
    assert [finding.subject for finding in findings] == ["a", "other"]
    assert findings[1].message == "it has nothing to say of this machine"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (LoadFailedError("the worker died"), "the worker died"),
        (KeyError("lost"), "KeyError: 'lost'"),
        (TimeoutError(), "it timed out"),
        (SystemExit(3), "SystemExit: 3"),
        (UnwritableError(), "UnwritableError"),
        (["no finding"], "something that is no Finding"),
        ([Finding(subject="a", level="bad", message="m")], "something that is no Finding"),  # type: ignore[arg-type]
        ([Finding(subject="a", level="ok", message=None)], "something that is no Finding"),  # type: ignore[arg-type]
        ([ok("a", "m", gpu_memory_bytes=object())], "something that is no Finding"),  # type: ignore[arg-type]
        (None, "TypeError"),
    ],
)
def test_a_backend_that_fails_is_an_error_and_the_next_is_asked(fault, says):
    bad, good = group_of(Talkative("bad", fault), Talkative("good", [ok("a", "fine")])).findings
    assert (bad.subject, bad.level) == ("bad", "error")
    assert says in bad.message
    assert good.message == "fine"


def test_a_backend_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(backends, "DIAGNOSED_S", 0.01)
    finding = only(group_of(Talkative("slow", "hang")).findings)
    assert (finding.level, "longer than 0.01 s" in finding.message) == ("error", True)


def test_the_smallest_model_that_tells_something_is_measured():
    found = subject(stocked(toy=5, small=100, large=4000), None, UNLIMITED)
    assert isinstance(found, Loadable)
    assert found.spec.id == "small"


@pytest.mark.parametrize("room_mb", [50, 99])
def test_without_room_nothing_is_measured_and_that_is_said(room_mb):
    found = subject(stocked(small=100, large=4000), None, DeviceBytes(room_mb * MIB))
    assert isinstance(found, Finding)
    assert (found.level, "32.0 MiB or more that fits" in found.message) == ("ok", True)


def test_a_model_that_is_named_is_taken_whatever_its_size():
    found = subject(stocked(toy=5, small=100), "toy", DeviceBytes(1))
    assert isinstance(found, Loadable)
    assert found.spec.id == "toy"


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("smal", "there is no model 'smal'; did you mean 'small'?"),
        ("broken", "'broken' cannot be used: it is cut off"),
        ("foreign", "no backend can load it"),
        ("idle", "no backend is installed"),
    ],
)
def test_a_model_that_cannot_be_measured_is_an_error(wanted, says):
    listed = stocked(small=100)
    specs = [*listed.specs, spec("broken", problem="it is cut off"), spec("foreign"), spec("idle")]
    refusals = {"foreign": BackendUnavailableError("no backend can load it")}
    found = subject(
        Inventory(specs=specs, loadable=listed.loadable, refusals=refusals), wanted, UNLIMITED
    )
    assert isinstance(found, Finding)
    assert (found.level, says in found.message) == ("error", True)


def test_llama_cpp_gives_a_measurement_up_before_it_is_given_up_itself():
    assert findings.LIMIT_S + 10 <= backends.MEASURED_S


def test_the_page_and_the_help_have_the_numbers_of_the_code():
    page = Path(__file__).parents[2].joinpath("docs/how-to/doctor.md").read_text()
    assert f"{backends.DIAGNOSED_S:g} s, and {backends.MEASURED_S:g} s with a model" in page
    assert f"smallest one of {backends.LEAST_BYTES >> 20} MiB or more" in page
    helps = " ".join(param.help or "" for param in command.params if isinstance(param, Option))
    assert f"the smallest of {backends.LEAST_BYTES >> 20} MiB or more" in helps
