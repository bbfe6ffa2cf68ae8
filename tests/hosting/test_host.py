# SPDX-License-Identifier: GPL-3.0-only
"""Engines in real processes and in threads: requests, cancellations, and the end."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from modeld import GenerateRequest, Token
from modeld.errors import (
    DrainingError,
    InternalError,
    InvalidRequestError,
)
from modeld.hosting.process import worker_process
from tests.support.hosting.leaks import PATIENCE_S, run, until
from tests.support.hosting.rigged import (
    HOSTS,
    Stream,
    an_engine,
    ask,
    plan,
    tokens,
)

pytestmark = pytest.mark.usefixtures("measured_processes")

STALL = {"stall_timeout_s": 0.3}


@pytest.mark.parametrize("kind", HOSTS)
def test_an_engine_serves(kind: str) -> None:
    async def main() -> None:
        async with an_engine(kind, slots=2, held_mb=7) as engine:
            stream = Stream(engine, plan(tokens=3))
            await stream.end()
            assert stream.text == "t0 t1 t2 "
            assert stream.done is not None
            assert stream.done.usage.completion_tokens == 3
            assert (engine.slots, engine.held_bytes) == (2, 7 << 20)
            assert (engine.pid is not None) == (kind == "process")
            assert engine.failure() is None

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_requests_run_side_by_side(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with an_engine(kind, slots=2) as engine:
            held = Stream(engine, plan(tokens=4, gate=str(tmp_path / "gate"), gate_at=1))
            await held.came.wait()
            assert await ask(engine, tokens=50) == tokens(50)
            (tmp_path / "gate").touch()
            await held.end()
            assert held.text == tokens(4)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_a_hundred_requests_over_few_slots_are_each_served_once(kind: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        async with an_engine(kind, slots=3, journal=str(journal)) as engine:
            slots = asyncio.Semaphore(engine.slots)

            async def client(number: int) -> None:
                async with slots:
                    assert await ask(engine, tokens=4, nonce=f"n{number}") == tokens(4)

            await asyncio.gather(*(client(number) for number in range(100)))

    run(main())
    lines = journal.read_text().split("\n")
    running = most = 0
    for line in lines:
        running += line.startswith("start ") - line.startswith("end ")
        most = max(most, running)
    assert most <= 3
    for number in range(100):
        assert lines.count(f"start n{number}") == lines.count(f"end n{number}") == 1


@pytest.mark.parametrize("kind", HOSTS)
def test_a_client_that_leaves_is_cancelled_in_the_engine(kind: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        async with an_engine(kind, slots=1, journal=str(journal)) as engine:
            never = str(tmp_path / "never")
            async with aclosing(
                engine.generate(plan(tokens=9, gate=never, gate_at=1, nonce="n"))
            ) as chunks:
                assert await anext(chunks) == Token(text="t0 ")
            await until(lambda: "cancel n" in journal.read_text())
            assert await ask(engine, tokens=2) == tokens(2)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_the_slot_of_a_client_that_left_is_free_for_the_next(kind: str) -> None:
    """The rig refuses whatever exceeds its slots."""

    async def main() -> None:
        async with an_engine(kind, slots=1) as engine:
            for _ in range(50):
                async with aclosing(engine.generate(plan(tokens=10_000))) as chunks:
                    assert await anext(chunks) == Token(text="t0 ")
            assert await ask(engine, tokens=2) == tokens(2)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_a_client_may_leave_before_the_first_token_and_while_it_waits(
    kind: str, tmp_path: Path
) -> None:
    async def main() -> None:
        async with an_engine(kind, slots=1) as engine:
            never = str(tmp_path / "never")
            chunks = engine.generate(plan(tokens=1))
            await chunks.aclose()
            stream = Stream(engine, plan(tokens=9, gate=never))
            await asyncio.sleep(0)
            await stream.leave()
            assert stream.task.cancelled()
            assert await ask(engine, tokens=2) == tokens(2)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_rule_14_a_request_that_is_refused_hurts_no_other(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with an_engine(kind, slots=3) as engine:
            other = Stream(engine, plan(tokens=4, gate=str(tmp_path / "gate"), gate_at=2))
            await other.came.wait()
            with pytest.raises(InvalidRequestError, match="not this one") as caught:
                await ask(engine, refuse="not this one")
            assert caught.value.field == "prompt"
            with pytest.raises(InternalError, match="the engine refused: RuntimeError"):
                await ask(engine, submit="raise")
            for fault in ("unspeakable", "SystemExit"):
                with pytest.raises(InternalError, match="the engine refused: "):
                    await ask(engine, submit=fault)
            (tmp_path / "gate").touch()
            await other.end()
            assert other.text == tokens(4)
            assert engine.failure() is None

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
@pytest.mark.parametrize("prompt", ["\ud800", "x" * (65 << 20)], ids=["surrogate", "huge"])
def test_rule_14_a_request_that_cannot_be_sent_hurts_no_other(
    kind: str, prompt: str, tmp_path: Path
) -> None:
    """However it is answered, the engine lives on, and no watchdog waits for it."""

    async def main() -> None:
        async with an_engine(kind, STALL, slots=2) as engine:
            stream = Stream(engine, GenerateRequest(prompt=prompt, max_tokens=1))
            await asyncio.wait([stream.task])
            stream.task.exception()
            assert await ask(engine, tokens=2) == tokens(2)
            assert engine._mailboxes == {}  # type: ignore[attr-defined]
            assert not engine._watchdog.needed  # type: ignore[attr-defined]
            assert engine.failure() is None

    run(main())


def test_a_cancellation_interrupts_a_step(tmp_path: Path) -> None:
    """A step of ten minutes ends when its request is cancelled, and the next is served."""

    async def main() -> None:
        async with an_engine("process", slots=1) as engine:
            stream = Stream(engine, plan(tokens=9, delay_s=600.0))
            await asyncio.sleep(0.05)
            await stream.leave()
            assert await ask(engine, tokens=2) == tokens(2)

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_closing_an_engine_fails_what_runs_on_it(kind: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with an_engine(kind) as engine:
            stream = Stream(engine, plan(tokens=9, gate=str(tmp_path / "never"), gate_at=1))
            await stream.came.wait()
            await engine.aclose()
            with pytest.raises(DrainingError):
                await stream.end()
            await engine.aclose()
            failure = engine.failure()
            assert failure is not None
            assert failure.cause == "closed"

    run(main())


@pytest.mark.parametrize("kind", HOSTS)
def test_an_engine_is_told_to_close_before_its_worker_ends(kind: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> None:
        async with an_engine(kind, journal=str(journal)):
            pass

    run(main())
    assert journal.read_text().endswith("close\n")


def test_chunks_under_a_wrong_id_reach_nobody() -> None:
    async def main() -> None:
        async with an_engine() as engine:
            assert await ask(engine, tokens=4, fault="wrong id", at=2) == tokens(4)

    run(main())


def test_a_process_that_does_not_close_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "CLOSE_GRACE_S", 0.2)

    async def main() -> None:
        async with an_engine(close_fault="hang") as engine:
            pass
        failure = engine.failure()
        assert failure is not None
        assert failure.cause == "closed"

    run(main())


def test_closing_that_is_cancelled_kills_the_process() -> None:
    async def main() -> None:
        async with an_engine(close_fault="hang") as engine:
            closing = asyncio.create_task(engine.aclose())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait([closing])
            async with asyncio.timeout(PATIENCE_S):
                await engine.wait_exited()

    run(main())
