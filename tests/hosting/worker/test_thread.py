# SPDX-License-Identifier: GPL-3.0-only
"""What is special about engines in threads; what they share with processes is in test_host."""

import asyncio
import threading
from pathlib import Path

import pytest

from modeld import Settings
from modeld.hosting.host import ThreadHosting, hosting
from modeld.hosting.worker import thread
from tests.support.hosting.leaks import run, until
from tests.support.hosting.rigged import Stream, a_hosting, an_engine, plan, start, tokens


def test_the_setting_chooses_threads() -> None:
    owner = hosting(Settings(engine_host="thread"), ())

    assert isinstance(owner, ThreadHosting)
    assert owner.warm_workers == 0


def test_an_engine_has_a_thread_of_its_own_with_its_models_name() -> None:
    async def main() -> None:
        async with an_engine("thread") as engine:
            names = [each.name for each in threading.enumerate()]
            assert "modeld-engine-rigged" in names
            assert engine.pid is None
            assert engine.log_tail() == ()

    run(main())


def test_a_cancellation_interrupts_a_step_of_a_thread() -> None:
    async def main() -> None:
        async with an_engine("thread", slots=1) as engine:
            stream = Stream(engine, plan(tokens=9, delay_s=600.0))
            await asyncio.sleep(0.05)
            await stream.leave()
            next_one = Stream(engine, plan(tokens=2))
            await next_one.end()
            assert next_one.text == tokens(2)

    run(main())


def test_a_thread_that_does_not_close_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(thread, "CLOSE_GRACE_S", 0.1)
    gate = tmp_path / "gate"

    async def main() -> None:
        async with an_engine("thread", close_fault=f"block {gate}") as engine:
            pass
        failure = engine.failure()
        assert failure is not None
        assert failure.cause == "closed"
        gate.touch()

    run(main())


def test_a_thread_that_outlives_its_loop_does_no_harm(tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    async def main() -> None:
        async with a_hosting("thread") as owner:
            load = asyncio.create_task(start(owner, load_gate=str(gate)))
            await until(lambda: any("rigged" in each.name for each in threading.enumerate()))
            load.cancel()
            await asyncio.wait([load])

    asyncio.run(main())
    (left,) = [each for each in threading.enumerate() if "rigged" in each.name]
    gate.touch()
    left.join(10)
    assert not left.is_alive()


def test_an_engine_that_fails_in_its_close_is_gone_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with an_engine("thread", close_fault="raise") as engine:
            pass
        assert engine.failure() is not None

    run(main())
    assert "the rig was told to fail" in caplog.text
