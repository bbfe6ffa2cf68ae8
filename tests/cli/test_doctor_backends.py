# SPDX-License-Identifier: GPL-3.0-only
"""How backends are examined, how checks are kept apart, and how all of it is reported."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from click import Option
from modeld_llama_cpp import examination

from modeld import Backend, EngineHost, Finding, ModelSpec, Options
from modeld.cli.doctor import command
from modeld.cli.examination import runtimes
from modeld.cli.examination.catalogue import Catalogue, Loadable
from modeld.cli.examination.group import Group, error, examine, ok, warning
from modeld.cli.examination.report import as_json, as_text, counts
from modeld.cli.examination.runtimes import examine_backends, gpu_bytes, subject
from modeld.errors import BackendUnavailableError, LoadFailedError
from modeld.hosting.host import ThreadHosting
from modeld.settings import Settings
from tests.cli.another_machine import MIB, catalogue, only, spec
from tests.some_plugins import Thing


class Examined(Thing):
    """Says or raises what it is given, and remembers for which model."""

    def __init__(self, name: str, says: object) -> None:
        super().__init__(name, loads=True)
        self._says = says
        self.asked: list[tuple[str | None, Options]] = []

    async def examine(
        self, spec: ModelSpec | None, options: Options, host: EngineHost
    ) -> Sequence[Finding]:
        self.asked.append((spec.id if spec else None, options))
        host.progress(0.5)
        if isinstance(self._says, Exception):
            raise self._says
        if self._says == "hang":
            await asyncio.Event().wait()
        return self._says  # type: ignore[return-value]


def group_of(*backends: Backend, measured: Loadable | None = None) -> Group:
    hosting = ThreadHosting(Settings())
    asked = examine_backends(backends, measured, hosting, lambda _fraction: None)
    return asyncio.run(asked)


def test_every_backend_is_asked_and_only_one_gets_the_model():
    mine, other = Examined("mine", [ok("a", "fine")]), Examined("other", [])
    options = Options(slots=3)
    measured = Loadable(spec=spec("m"), backend=mine, options=options, need_bytes=1)
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
        (["no finding"], "something that is no Finding"),
        (None, "TypeError"),
    ],
)
def test_a_backend_that_fails_is_an_error_and_the_next_is_asked(fault, says):
    bad, good = group_of(Examined("bad", fault), Examined("good", [ok("a", "fine")])).findings
    assert (bad.subject, bad.level) == ("bad", "error")
    assert says in bad.message
    assert good.message == "fine"


def test_a_backend_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(runtimes, "EXAMINED_S", 0.01)
    finding = only(group_of(Examined("slow", "hang")).findings)
    assert (finding.level, "longer than 0.01 s" in finding.message) == ("error", True)


def test_the_memory_of_gpus_is_what_the_backends_tell():
    one = ok("gpu", "x", gpu_memory_bytes=80)
    other = ok("gpu", "y", gpu_memory_bytes=40)
    assert gpu_bytes(Group("backends", [one, ok("z", "z"), other])) == 120


def test_the_smallest_model_that_tells_something_is_measured():
    found = subject(catalogue(toy=5, small=100, large=4000), None, None)
    assert isinstance(found, Loadable)
    assert found.spec.id == "small"


@pytest.mark.parametrize("room_mb", [50, 99])
def test_without_room_nothing_is_measured_and_that_is_said(room_mb):
    found = subject(catalogue(small=100, large=4000), None, room_mb * MIB)
    assert isinstance(found, Finding)
    assert (found.level, "32.0 MiB or more that fits" in found.message) == ("ok", True)


def test_a_model_that_is_named_is_taken_whatever_its_size():
    found = subject(catalogue(toy=5, small=100), "toy", 1)
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
    listed = catalogue(small=100)
    specs = [*listed.specs, spec("broken", problem="it is cut off"), spec("foreign"), spec("idle")]
    refusals = {"foreign": BackendUnavailableError("no backend can load it")}
    found = subject(
        Catalogue(specs=specs, loadable=listed.loadable, refusals=refusals), wanted, None
    )
    assert isinstance(found, Finding)
    assert (found.level, says in found.message) == ("error", True)


def fails():
    yield ok("first", "fine")
    raise OSError("unreadable")


def test_a_check_that_fails_is_an_error_and_the_others_go_on():
    first, failed, other = examine("disk", fails, lambda: [ok("other", "fine")]).findings
    assert (first.subject, other.subject) == ("first", "other")
    assert (failed.subject, failed.level) == ("disk", "error")
    assert "OSError: unreadable" in failed.message


def test_a_check_that_hangs_is_left_behind_with_what_it_has_found():
    gate = threading.Event()

    def hangs():
        yield ok("first", "fine")
        gate.wait()

    first, failed = examine("disk", hangs, limit_s=0.05).findings
    gate.set()
    assert (first.subject, failed.level) == ("first", "error")
    assert "longer than 0.05 s" in failed.message


GROUPS = [
    Group("memory", [ok("main", "plenty"), warning("swap", "in use", "buy more", used=1)]),
    Group("nothing"),
    Group("plugins", [error("bad\x1b[2J", "it broke\nhere", "mend it")]),
]


def test_people_read_the_level_the_message_and_the_fix():
    assert as_text(GROUPS).splitlines() == [
        "\x1b[1mmemory\x1b[0m",
        "  \x1b[32mok\x1b[0m       main: plenty",
        "  \x1b[33mwarning\x1b[0m  swap: in use",
        "           \x1b[1mfix:\x1b[0m buy more",
        "",
        "\x1b[1mplugins\x1b[0m",
        "  \x1b[31merror\x1b[0m    bad\\x1b[2J: it broke\\nhere",
        "           \x1b[1mfix:\x1b[0m mend it",
        "",
        "1 error, 1 warning, 1 ok",
    ]


def test_long_text_is_wrapped_between_words_and_paths_stay_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    path = "/a/very-long/" + 40 * "x"
    lines = as_text([Group("g", [warning("s", "word " * 20, f"rm {path}")])]).splitlines()
    assert max(len(line) for line in lines if "word" in line) <= 50 + len("\x1b[33m\x1b[0m")
    assert any(line.endswith(path) for line in lines)


def test_programs_read_one_document():
    document = json.loads(as_json(GROUPS))
    assert (document["errors"], document["warnings"]) == (1, 1)
    assert document["findings"][1] == {
        "group": "memory",
        "subject": "swap",
        "level": "warning",
        "message": "in use",
        "fix": "buy more",
        "facts": {"used": 1},
    }
    assert counts(GROUPS) == {"ok": 1, "warning": 1, "error": 1}


def test_llama_cpp_gives_a_measurement_up_before_it_is_given_up_itself():
    assert examination.LIMIT_S + 10 <= runtimes.MEASURED_S


def test_the_page_and_the_help_have_the_numbers_of_the_code():
    page = Path(__file__).parents[2].joinpath("docs/how-to/doctor.md").read_text()
    assert f"{runtimes.EXAMINED_S:g} s, and {runtimes.MEASURED_S:g} s with a model" in page
    assert f"smallest one of {runtimes.LEAST_BYTES >> 20} MiB or more" in page
    assert f"`{runtimes.GPU_MEMORY}`" in page
    helps = " ".join(param.help or "" for param in command.params if isinstance(param, Option))
    assert f"the smallest of {runtimes.LEAST_BYTES >> 20} MiB or more" in helps
