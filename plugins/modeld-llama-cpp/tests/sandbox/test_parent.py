# SPDX-License-Identifier: GPL-3.0-only
"""Limited processes, seen from the engine; what they withstand is in test_template.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import psutil
import pytest
from modeld_llama_cpp.sandbox import parent
from modeld_llama_cpp.sandbox.parent import LimitedProcess

Make = Callable[[str], LimitedProcess]

CHAT: dict[str, object] = {"values": {"messages": []}}
SLOW = "{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4


@pytest.fixture
def make() -> Iterator[Make]:
    """Make processes that render chats with a template."""
    made: list[LimitedProcess] = []

    def make_one(template: str) -> LimitedProcess:
        setup: dict[str, object] = {"template": template, "values": {}}
        made.append(
            LimitedProcess(
                "modeld_llama_cpp.chat.template_process", setup, limit_s=1, max_response_bytes=100
            )
        )
        return made[-1]

    yield make_one
    for process in made:
        process.close()


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_one_process_handles_all_requests(make: Make) -> None:
    process = make("{{ x }}")
    assert [process.call({"values": {"x": x}}) for x in "ab"] == [{"text": "a"}, {"text": "b"}]
    assert len(children()) == 1


def test_a_process_that_takes_too_long_is_killed(make: Make) -> None:
    process = make(SLOW)
    with pytest.raises(TimeoutError, match="it took longer than 1 s"):
        process.call(CHAT)
    assert children() == []


def test_a_response_over_the_limit_is_refused(make: Make) -> None:
    with pytest.raises(OSError, match="its response has 112 bytes"):
        make("x" * 100).call(CHAT)


def test_a_killed_process_is_replaced(make: Make) -> None:
    process = make("ok")
    process.call(CHAT)
    children()[0].kill()
    with pytest.raises(OSError, match=r"is gone|Broken pipe|reset"):
        process.call(CHAT)
    assert process.call(CHAT) == {"text": "ok"}


def test_a_closed_process_is_not_started_again(make: Make) -> None:
    process = make("ok")
    process.call(CHAT)
    process.close()
    process.close()
    assert children() == []
    with pytest.raises(OSError, match="being unloaded"):
        process.call(CHAT)
    assert children() == []


def test_closing_while_the_process_starts_ends_it(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, closing = threading.Event(), threading.Event()

    class Slow(parent._Child):
        def __init__(self, module: str, limit_s: int, max_response_bytes: int) -> None:
            super().__init__(module, limit_s, max_response_bytes)
            started.set()
            closing.wait()

    monkeypatch.setattr(parent, "_Child", Slow)
    process = make(SLOW)

    def close() -> None:
        started.wait()
        # close() takes this lock last, when it has said all that call() is to see.
        process._in_use = _Announced(process._in_use, closing)  # type: ignore[assignment]
        process.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(OSError, match="being unloaded"):
        process.call(CHAT)
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


def test_closing_that_meets_the_end_of_the_process_leaves_nothing(make: Make) -> None:
    """One thread takes the exit in while another one kills."""
    for _ in range(30):
        process = make("ok")
        process.call(CHAT)
        closing = threading.Thread(target=process.close)
        children()[0].kill()
        closing.start()
        with pytest.raises(OSError, match=r"is gone|Broken pipe|reset|unloaded"):
            process.call(CHAT)
        closing.join()
        assert children() == []
