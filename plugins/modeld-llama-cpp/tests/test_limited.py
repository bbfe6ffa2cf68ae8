# SPDX-License-Identifier: GPL-3.0-only
"""Limited processes, seen from the engine; what they withstand is in test_template.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import psutil
import pytest
from modeld_llama_cpp import limited
from modeld_llama_cpp.limited import LimitedProcess

Make = Callable[[str], LimitedProcess]

SLOW = "{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes processes that answer `{}` with a template."""
    made: list[LimitedProcess] = []

    def make_one(template: str) -> LimitedProcess:
        setup: dict[str, object] = {"template": template, "values": {}}
        made.append(
            LimitedProcess("modeld_llama_cpp.rendering", setup, limit_s=1, max_reply_bytes=100)
        )
        return made[-1]

    yield make_one
    for process in made:
        process.close()


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_one_process_answers_all_questions(make: Make) -> None:
    process = make("{{ x }}")
    assert [process.ask({"x": x}) for x in "ab"] == [{"text": "a"}, {"text": "b"}]
    assert len(children()) == 1


def test_a_process_that_takes_too_long_is_killed(make: Make) -> None:
    process = make(SLOW)
    with pytest.raises(TimeoutError, match="it took longer than 1 s"):
        process.ask({})
    assert children() == []


def test_a_reply_over_the_limit_is_refused(make: Make) -> None:
    with pytest.raises(OSError, match="it replied with 112 bytes"):
        make("x" * 100).ask({})


def test_a_killed_process_is_replaced(make: Make) -> None:
    process = make("ok")
    process.ask({})
    children()[0].kill()
    with pytest.raises(OSError, match=r"is gone|Broken pipe|reset"):
        process.ask({})
    assert process.ask({}) == {"text": "ok"}


def test_a_closed_process_is_not_started_again(make: Make) -> None:
    process = make("ok")
    process.ask({})
    process.close()
    process.close()
    assert children() == []
    with pytest.raises(OSError, match="being unloaded"):
        process.ask({})
    assert children() == []


def test_closing_while_the_process_starts_ends_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, closing = threading.Event(), threading.Event()

    class Slow(limited._Child):
        def __init__(self, module: str, limit_s: int, max_reply_bytes: int) -> None:
            super().__init__(module, limit_s, max_reply_bytes)
            started.set()
            closing.wait()

    monkeypatch.setattr(limited, "_Child", Slow)
    process = make(SLOW)

    def close() -> None:
        started.wait()
        # close() takes this lock last, when it has said all that ask() is to see.
        process._in_use = _Announced(process._in_use, closing)  # type: ignore[assignment]
        process.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(OSError, match="being unloaded"):
        process.ask({})
    thread.join()
    assert children() == []


class _Announced:
    """A lock that says when somebody comes to take it."""

    def __init__(self, lock: threading.Lock, coming: threading.Event) -> None:
        self._lock = lock
        self._coming = coming

    def __enter__(self) -> None:
        self._coming.set()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
