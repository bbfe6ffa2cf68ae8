# SPDX-License-Identifier: GPL-3.0-only
"""Sessions outlive their engine: the next one goes on as if the model had never left memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driver import Driver, ask, is_clean
from modeld_llama_cpp.engine import session_identity
from tiny_gguf import write_random

Start = Callable[..., Driver]
COMMON = "The same beginning of many prompts, long enough to be worth a wait. "
MOST = 1 << 24


@pytest.fixture
def path() -> Iterator[str]:
    fd = os.memfd_create("sessions")
    yield f"/proc/self/fd/{fd}"
    os.close(fd)


def opened(start: Start, model: Path, path: str, **options: object) -> Driver:
    driver = start(model, **({"context": 512} | options))
    driver.engine.open_sessions(path, MOST)
    return driver


def test_a_saved_sequence_goes_on_as_if_it_had_never_left(
    random: Path, start: Start, path: str
) -> None:
    stays = start(random, context=512)
    first = stays.read(ask(COMMON, max_tokens=20))
    following = ask(COMMON + first.text + "x", max_tokens=24)
    expected = stays.read(following)
    here = opened(start, random, path)
    assert here.read(ask(COMMON, max_tokens=20)).text == first.text
    here.engine.save_sessions()
    there = opened(start, random, path, slots=2, prefill_chunk=7)
    generation = there.read(following)
    assert (generation.text, generation.cached) == (expected.text, expected.cached)
    assert generation.cached > len(COMMON)
    assert is_clean(there)


def test_nobody_finds_what_has_another_salt(random: Path, start: Start, path: str) -> None:
    here = opened(start, random, path)
    here.read(ask(COMMON, max_tokens=4, cache_salt="mine"))
    here.engine.save_sessions()
    there = opened(start, random, path)
    for salt in ("", "yours"):
        assert there.read(ask(COMMON, max_tokens=1, cache_salt=salt)).cached == 0
    assert there.read(ask(COMMON, max_tokens=1, cache_salt="mine")).cached == len(COMMON)


def test_an_engine_that_was_killed_leaves_nothing(random: Path, start: Start, path: str) -> None:
    here = opened(start, random, path)
    here.read(ask(COMMON, max_tokens=4))
    here.engine.save_sessions()
    opened(start, random, path).read(ask(COMMON, max_tokens=4))
    assert opened(start, random, path).read(ask(COMMON, max_tokens=4)).cached == 0


@pytest.mark.parametrize(
    "change", ["state", "position", "end", "options", "build", "bytes", "stamp"]
)
def test_what_does_not_fit_costs_no_more_than_its_computation(
    tmp_path: Path, start: Start, path: str, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    model = write_random(tmp_path / "m.gguf", seed=343)
    here = opened(start, model, path)
    expected = here.read(ask(COMMON, max_tokens=8))
    if change == "position":  # a whole state that is not that of these tokens
        assert is_clean(here)  # what rests is saved by that
        (saved,) = here.engine._prefix_cache
        object.__setattr__(saved, "tokens", (*saved.tokens, 7, 8))
    here.engine.save_sessions()
    options: dict[str, object] = {}
    if change == "state":
        with Path(path).open("r+b") as file:
            file.seek(5000)
            file.write(b"\xff\xfe\xfd")
    elif change == "end":
        os.truncate(path, 6000)
    elif change == "options":
        options = {"flash_attention": "off"}
    elif change == "build":
        monkeypatch.setattr(session_identity.library, "said", lambda _name: "another build")
    elif change in {"bytes", "stamp"}:
        stat = model.stat()
        if change == "bytes":
            data = bytearray(model.read_bytes())
            data[-1] ^= 1
            model.write_bytes(data)
        moved_ns = stat.st_mtime_ns + (change == "stamp")
        os.utime(model, ns=(moved_ns, moved_ns))
    there = opened(start, model, path, **options)
    generations = there.run(*[ask(COMMON, max_tokens=8)] * 3)
    if change != "bytes":
        assert {generation.text for generation in generations} == {expected.text}
    assert generations[0].cached == 0 or change in {"state", "position"}
    assert is_clean(there)
    there.engine.save_sessions()
    assert opened(start, model, path, **options).read(ask(COMMON, max_tokens=1)).cached


def test_an_engine_without_a_file_serves_all_the_same(random: Path, start: Start) -> None:
    driver = start(random, context=512)
    with pytest.raises(OSError, match="No such file"):
        driver.engine.open_sessions("/nowhere/at/all", MOST)
    driver.engine.save_sessions()
    assert driver.run(*[ask(COMMON, max_tokens=4)] * 2)[1].cached
