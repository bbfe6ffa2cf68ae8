# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from modeld.pythonapi.waiting import next_of, result_of


def test_what_comes_is_returned():
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    items.put(7)
    assert next_of(items) == 7
    future: Future[int] = Future()
    threading.Timer(0.01, future.set_result, [8]).start()
    assert result_of(future) == 8
    failed: Future[int] = Future()
    failed.set_exception(TimeoutError("its own"))
    with pytest.raises(TimeoutError, match="its own"):
        result_of(failed)


@pytest.mark.parametrize(
    "wait", [lambda: next_of(queue.SimpleQueue()), lambda: result_of(Future())]
)
def test_ctrl_c_is_noticed_though_its_signal_wakes_another_thread(wait: Callable[[], object]):
    """As it does where the signal comes just before the wait: nothing ends the wait itself."""

    def interrupt() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    timer = threading.Timer(0.05, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        wait()
    timer.join()
