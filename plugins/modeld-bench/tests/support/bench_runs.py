# SPDX-License-Identifier: GPL-3.0-only
"""Runs of ``modeld bench``, real ones and made-up ones."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from modeld_bench.apis.api import Wish
from modeld_bench.level import End, Level
from modeld_bench.outcome import Answered, Failed, Outcome, Usage
from modeld_bench.plan import Plan
from modeld_bench.prompts import Prompts, Words
from modeld_bench.reports.report import Report
from modeld_bench.reports.summary import summarise

from tests.support.cli.terminal import modeld


class Run(NamedTuple):
    """What a run has left behind."""

    code: int
    document: dict[str, Any]
    err: str

    @property
    def level(self) -> dict[str, Any]:
        (only,) = self.document["levels"]
        assert isinstance(only, dict)
        return only

    @property
    def reasons(self) -> dict[str, int]:
        return {each["reason"]: each["count"] for each in self.level["failures"]}


def bench(url: str, *args: str) -> Run:
    """Measure one level without a warm-up, unless ``args`` say otherwise."""
    done = modeld("bench", url, "--json", "-", "--warmup", "0", "--concurrency", "1", *args)
    return Run(done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr)


WISH = Wish(model=None, max_tokens=8, temperature=0.0, seed=None, ignore_eos=False, chat=False)


def answered(*arrivals_s: float, sent_s: float = 0.0, usage: Usage | None = None) -> Answered:
    """Return a response that ends with its last piece."""
    return Answered(
        sent_s=sent_s, ended_s=arrivals_s[-1], arrivals_s=arrivals_s, usage=usage or Usage()
    )


def failed(reason: str, message: str = "", retry_after_s: float | None = None) -> Failed:
    return Failed(
        sent_s=0.0, ended_s=0.1, reason=reason, message=message, retry_after_s=retry_after_s
    )


def level(concurrency: int, *outcomes: Outcome, cpu_share: float = 0.1) -> Level:
    """Return a level that has ended so."""

    async def send() -> Outcome:
        raise AssertionError

    done = Level(concurrency, End(requests=len(outcomes)), send)
    done.outcomes.extend(outcomes)
    done.begun = len(outcomes)
    done.complete = True
    done.cpu_share = cpu_share
    return done


def report(
    *levels: Level, model: str = "tiny", prompts: Prompts | None = None, interrupted: bool = False
) -> Report:
    plan = Plan(
        url="http://127.0.0.1:8080",
        api=None,
        wish=WISH,
        prompts=prompts or Words(tokens=16, shared=0, seed=1),
        concurrency=tuple(each.concurrency for each in levels),
        requests=None,
        duration_s=None,
        warmup=1,
        timeout_s=60.0,
    )
    return Report(
        version="0.1.0",
        started="2026-11-22T00:00:00Z",
        plan=plan,
        api="modeld",
        model=model,
        interrupted=interrupted,
        levels=tuple(map(summarise, levels)),
    )
