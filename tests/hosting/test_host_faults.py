# SPDX-License-Identifier: GPL-3.0-only
"""Engines in real processes and in threads that break while they serve."""

import asyncio
from pathlib import Path

import psutil
import pytest

from modeld.errors import WorkerCrashedError
from tests.support.hosting.leaks import PATIENCE_S, run, until
from tests.support.hosting.rigged import (
    HOSTS,
    Stream,
    a_hosting,
    an_engine,
    ask,
    plan,
    start,
    tokens,
)

STALL = {"stall_timeout_s": 0.3}


FATAL = {
    "SIGKILL": ("signal", "signal SIGKILL"),
    "SIGSEGV": ("signal", "signal SIGSEGV"),
    "SIGABRT": ("signal", "signal SIGABRT"),
    "SIGBUS": ("signal", "signal SIGBUS"),
    "SIGTERM": ("signal", "signal SIGTERM"),
    "exit 0": ("exit", "exit 0"),
    "exit 3": ("exit", "exit 3"),
    "raise": ("exit", "exit 1"),
    "unspeakable": ("exit", "exit 1"),
    "SystemExit": ("exit", "exit 1"),
    "hang": ("stall", "no progress for 0.3 s"),
    "stop": ("stall", "no progress for 0.3 s"),
    "garbage": ("garbage", "sent garbage"),
    "huge": ("garbage", "over the limit"),
}


@pytest.mark.parametrize("fault", FATAL)
def test_rule_12_a_process_that_dies_or_hangs_ends_all_its_streams_with_an_error(
    fault: str, tmp_path: Path
) -> None:
    cause, words = FATAL[fault]

    async def main() -> None:
        settings = STALL if cause == "stall" else {}
        async with an_engine("process", settings, slots=2) as engine:
            never = str(tmp_path / "never")
            other = Stream(engine, plan(tokens=9, gate=never, gate_at=1))
            await other.came.wait()
            stream = Stream(engine, plan(tokens=9, fault=fault, at=3))
            for each in (stream, other):
                with pytest.raises(WorkerCrashedError, match=words):
                    await each.end()
                assert each.done is None
            assert stream.text == tokens(3), "what was said before counts"
            failure = await engine.wait_exited()
            assert failure.cause == cause
            assert engine.failure() is failure
            with pytest.raises(WorkerCrashedError):
                await ask(engine, tokens=1)

    run(main())


@pytest.mark.parametrize("fault", ["raise", "SystemExit", "unspeakable"])
def test_rule_12_a_thread_that_dies_ends_all_its_streams_with_an_error(
    fault: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with an_engine("thread", {"stall_timeout_s": PATIENCE_S / 4}, slots=2) as engine:
            other = Stream(engine, plan(tokens=9, gate=str(tmp_path / "never"), gate_at=1))
            await other.came.wait()
            stream = Stream(engine, plan(tokens=9, fault=fault, at=3))
            for each in (stream, other):
                with pytest.raises(WorkerCrashedError) as caught:
                    await each.end()
                assert caught.value.cause == "exit"
            assert stream.text == tokens(3)
            assert engine.failure() is not None

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_rule_12_a_stream_that_breaks_off_with_a_unary_response_ends_with_an_error(
    kind: str,
) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            stream = Stream(engine, plan(tokens=9, response="text", at=3))
            with pytest.raises(
                WorkerCrashedError, match="sent TextResponse where Done was due"
            ) as caught:
                await stream.end()
            assert caught.value.cause == "garbage"
            assert stream.text == tokens(3)

    run(main())


@pytest.mark.parametrize("close_fault", ["", "raise"])
def test_an_engine_that_fails_in_a_thread_is_closed(close_fault: str, tmp_path: Path) -> None:
    """No process ends here, so nothing else gives its memory back."""
    journal = tmp_path / "journal"

    async def main() -> None:
        async with an_engine("thread", journal=str(journal), close_fault=close_fault) as engine:
            with pytest.raises(WorkerCrashedError):
                await ask(engine, tokens=9, fault="raise", at=3)
            assert "close\n" in journal.read_text()

    run(main())


def test_rule_12_a_thread_that_hangs_is_left_behind_and_its_streams_fail(tmp_path: Path) -> None:
    async def main() -> None:
        gate = tmp_path / "gate"
        async with an_engine("thread", STALL, slots=1) as engine:
            stream = Stream(engine, plan(tokens=9, fault=f"block {gate}", at=3))
            with pytest.raises(WorkerCrashedError, match="its thread is left behind") as caught:
                await stream.end()
            assert caught.value.cause == "stall"
            assert stream.text == tokens(3)
            assert engine.failure() is not None
        gate.touch()

    run(main())


def test_a_process_that_dies_hurts_no_other_engine() -> None:
    async def main() -> None:
        async with a_hosting() as owner:
            first, second = await start(owner), await start(owner)
            other = Stream(second, plan(tokens=2000))
            await other.came.wait()
            with pytest.raises(WorkerCrashedError):
                await ask(first, tokens=3, fault="SIGSEGV", at=1)
            await other.end()
            assert other.text == tokens(2000)
            await first.aclose()
            await second.aclose()

    run(main())


@pytest.mark.parametrize("death", ["SIGKILL", "closed"])
def test_what_an_engine_has_started_ends_with_its_process(death: str) -> None:
    async def main() -> None:
        async with an_engine() as engine:
            await ask(engine, tokens=3, fault="grandchild", at=1)
            (grandchild,) = psutil.Process(engine.pid).children()
            if death == "SIGKILL":
                psutil.Process(engine.pid).kill()
                async with asyncio.timeout(PATIENCE_S):
                    await engine.wait_exited()
            else:
                await engine.aclose()
            await until(lambda: not grandchild.is_running() or grandchild.status() == "zombie")

    run(main())


def test_a_process_that_dies_while_idle_is_noticed() -> None:
    async def main() -> None:
        async with an_engine() as engine:
            assert await ask(engine, tokens=1) == tokens(1)
            psutil.Process(engine.pid).kill()
            async with asyncio.timeout(PATIENCE_S):
                failure = await engine.wait_exited()
            assert failure.cause == "signal"
            assert engine.failure() is failure

    run(main())


def test_a_stalled_process_that_is_idle_is_left_alone() -> None:
    """Nobody waits for it. It goes on when it is let go on."""

    async def main() -> None:
        async with an_engine("process", {"stall_timeout_s": 0.5}) as engine:
            worker = psutil.Process(engine.pid)
            worker.suspend()
            await asyncio.sleep(0.7)
            worker.resume()
            assert await ask(engine, tokens=1) == tokens(1)

    run(main())


def test_work_that_makes_progress_is_never_taken_for_a_stall() -> None:
    async def main() -> None:
        async with an_engine("process", {"stall_timeout_s": 1.0}) as engine:
            assert await ask(engine, tokens=30, delay_s=0.05) == tokens(30)

    run(main())


def test_work_that_produces_nothing_for_long_is_no_stall_while_steps_go_on(tmp_path: Path) -> None:
    """A long prompt is read in many steps. Each is a sign of life."""

    async def main() -> None:
        async with an_engine("process", {"stall_timeout_s": 1.0}) as engine:
            gate = tmp_path / "gate"
            stream = Stream(engine, plan(tokens=2, gate=str(gate)))
            await asyncio.sleep(1.6)
            gate.touch()
            await stream.end()
            assert stream.text == tokens(2)

    run(main())


def test_a_process_that_ignores_a_cancellation_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        journal = tmp_path / "journal"
        limit = {"cancel_timeout_s": 0.3}
        async with an_engine("process", limit, slots=2, journal=str(journal)) as engine:
            other = Stream(engine, plan(tokens=9, gate=str(tmp_path / "never"), gate_at=1))
            await other.came.wait()
            deaf = Stream(engine, plan(tokens=9, fault="hang", at=1))
            await until(lambda: "fault hang" in journal.read_text())
            await deaf.leave()
            with pytest.raises(WorkerCrashedError, match="did not give up a cancelled request"):
                await other.end()
            assert (await engine.wait_exited()).cause == "stall"

    run(main())


def test_a_thread_that_ignores_a_cancellation_is_left_behind(tmp_path: Path) -> None:
    async def main() -> None:
        gate, journal = tmp_path / "gate", tmp_path / "journal"
        limit = {"cancel_timeout_s": 0.3}
        async with an_engine("thread", limit, slots=2, journal=str(journal)) as engine:
            deaf = Stream(engine, plan(tokens=9, fault=f"block {gate}", at=1))
            await until(lambda: "fault block" in journal.read_text())
            await deaf.leave()
            async with asyncio.timeout(PATIENCE_S):
                assert (await engine.wait_exited()).cause == "stall"
        gate.touch()

    run(main())


def test_a_flood_on_standard_error_stops_nothing_and_fills_no_memory() -> None:
    async def main() -> None:
        async with an_engine() as engine:
            await ask(engine, tokens=1)
            before = psutil.Process().memory_info().rss
            assert await ask(engine, tokens=9, fault="flood 52428800", at=3) == tokens(9)
            assert psutil.Process().memory_info().rss - before < 20 << 20
            await until(lambda: engine.log_tail()[-1:] == ("x" * 99,))
            assert len(engine.log_tail()) == 20

    run(main())
