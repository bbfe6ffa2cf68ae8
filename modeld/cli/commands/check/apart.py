# SPDX-License-Identifier: GPL-3.0-only
"""Runs checks of a backend in a child process, so that a crash of its runtime ends only that."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from modeld.cli.commands.check.subjects import subjects_of
from modeld.settings import Settings
from modeld.testing.contract import Outcome, run


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process is to check: these checks of one subject, where others have failed."""

    plugin: str
    settings: Settings
    model: Path | None
    prompt: str | None
    subject: str = ""
    checks: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def run_apart(order: Order) -> Iterator[Outcome]:
    """Yield what came of each check; one that the process does not survive has failed."""
    while order.checks:
        outcomes: list[Outcome] = []
        for outcome in _of_process(order):
            outcomes.append(outcome)
            yield outcome
        failed = [each.check for each in outcomes if each.verdict == "failed"]
        left = order.checks[len(outcomes) :]
        order = replace(order, checks=left, failed=(*order.failed, *failed))


def _of_process(order: Order) -> Iterator[Outcome]:
    """Yield the outcomes that one process comes to; where it dies, the check has failed."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe(duplex=False)
    process = spawning.Process(target=_check, args=(order, theirs), name="modeld-check")
    process.start()
    theirs.close()
    try:
        for check in order.checks:
            try:
                outcome: Outcome = ours.recv()
            except EOFError:
                process.join()
                yield Outcome(check=check, verdict="failed", why=_death(process.exitcode or 0))
                return
            yield outcome
    finally:
        ours.close()
        process.kill()
        process.join()


def _death(code: int) -> str:
    said = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with the code {code}"
    return f"the process {said}; a runtime that ends its process ends all that it serves"


def _check(order: Order, outcomes: Connection) -> None:
    """Do what the order says; this is the process."""
    found = subjects_of(order.plugin, order.settings, order.model, order.prompt)
    (subject,) = [each for each in found if each.name == order.subject]
    for outcome in run(subject.contract, order.checks, order.failed):
        outcomes.send(outcome)
