# SPDX-License-Identifier: GPL-3.0-only
"""A run's figures as rows of text, as sentences and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec

from modeld.terminal import count_text, rows_as_text, visible
from modeld_bench.plan import Plan
from modeld_bench.prompts import Text
from modeld_bench.reports.distribution import Distribution
from modeld_bench.reports.summary import Failures, Summary

BUSY_SHARE: Final = 0.5
"""From this part of a core on, the measuring process may have slowed what it measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run. ``started`` is in UTC; ``interrupted`` says that not all of it was measured."""

    version: str
    started: str
    plan: Plan
    api: str
    model: str | None
    interrupted: bool
    levels: Sequence[Summary]

    @property
    def failed(self) -> bool:
        """Return whether some request failed."""
        return any(level.failed for level in self.levels)

    def as_json(self) -> bytes:
        """Return all figures and how they were measured, but no prompt; times are in seconds."""
        document = {
            "modeld_version": self.version,
            "started": self.started,
            "url": self.plan.url,
            "api": self.api,
            "model": self.model,
            "interrupted": self.interrupted,
            "parameters": self._parameters(),
            "levels": [asdict(level) for level in self.levels],
            "notes": self.notes(),
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"

    def about(self) -> list[tuple[str, str]]:
        """Return what was measured and how, as names and values."""
        plan, wish = self.plan, self.plan.wish
        length = f"up to {wish.max_tokens} tokens"
        if wish.ignore_eos:
            length = f"{wish.max_tokens} tokens, the end of text ignored"
        seed = "" if wish.seed is None else f", seed {wish.seed}"
        return [
            ("server", plan.url),
            ("API", f"{self.api}, {'chat' if wish.chat else 'plain'} prompts"),
            ("model", self.model or "the server's default"),
            ("prompts", plan.prompts.described()),
            ("generations", f"{length}; temperature {wish.temperature:g}{seed}"),
            ("measured", f"{self.started} by modeld {self.version}"),
        ]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the header and the rows: a column for each level, a row for each figure."""
        columns = [_column(level) for level in self.levels]
        header = ["", *(count_text(level.concurrency, "client") for level in self.levels)]
        names = list(columns[0])
        return header, [[name, *(column[name] for column in columns)] for name in names]

    def notes(self) -> list[str]:
        """Return what a reader has to know in order not to misread the figures."""
        return [note for level in self.levels for note in _notes(level)] + self._run_notes()

    def as_text(self) -> str:
        """Return all of it for a terminal."""
        about = [f"{name}: {visible(value)}" for name, value in self.about()]
        notes = [f"note: {visible(note)}" for note in self.notes()]
        table = [rows_as_text(*self.table())] if self.levels else ["nothing was measured"]
        return "\n".join([*about, "", *table, *([""] if notes else []), *notes])

    def _run_notes(self) -> list[str]:
        notes = []
        if isinstance(self.plan.prompts, Text):
            notes.append("all prompts were the same: a server that keeps prompts read them once")
        if self.interrupted:
            notes.append("the run was interrupted")
        return notes

    def _parameters(self) -> dict[str, Any]:
        plan, prompts = self.plan, self.plan.prompts
        words = None if isinstance(prompts, Text) else asdict(prompts)
        return {
            "concurrency": plan.concurrency,
            "requests": None if plan.duration_s else [*map(plan.requests_at, plan.concurrency)],
            "duration_s": plan.duration_s,
            "warmup": plan.warmup,
            "timeout_s": plan.timeout_s,
            "prompt_words": words,
            "prompt_characters": len(prompts.text) if isinstance(prompts, Text) else None,
            **{name: value for name, value in asdict(plan.wish).items() if name != "model"},
        }


def _column(level: Summary) -> dict[str, str]:
    """Return the figures of one level, by their names."""
    first, gap, total = level.first_token_s, level.gap_s, level.total_s
    prompt_rate = level.prompt_tokens_per_s
    return {
        "requests answered": str(level.answered),
        "requests failed": f"{level.failed} ({share_text(level.failed_share)})"
        if level.failed
        else "0",
        "tokens/s": number_text(level.tokens_per_s),
        "requests/s": number_text(level.requests_per_s),
        "prompt tokens/s": "" if prompt_rate is None else number_text(prompt_rate),
        "tokens per generation": number_text(level.tokens / level.answered)
        if level.answered
        else "",
        **_percentiles("time to first token", first),
        **_percentiles("gap between tokens", gap),
        "gap between tokens, worst": duration_text(gap.most) if gap else "",
        "whole response, p50": duration_text(total.p50) if total else "",
    }


def _percentiles(name: str, times: Distribution | None) -> dict[str, str]:
    return {
        f"{name}, {percent}": duration_text(getattr(times, percent)) if times else ""
        for percent in ("p50", "p95", "p99")
    }


def _notes(level: Summary) -> Iterator[str]:
    who = count_text(level.concurrency, "client")
    if level.unfinished:
        under_way = count_text(level.unfinished, "request")
        yield f"{who}: interrupted with {under_way} under way, not counted above"
    if (begun := level.requests + level.unfinished) < level.concurrency:
        yield (
            f"{who}: only {count_text(begun, 'request')}, so never more than that at once; set"
            " --requests higher"
        )
    for failures in level.failures:
        yield f"{who}: {_failures_text(failures)}"
    if uncounted := level.answered - level.counted:
        yield (
            f"{who}: the server did not count the tokens of {count_text(uncounted, 'generation')};"
            " each piece of text counts as one token there"
        )
    elif level.pieces and level.tokens > level.pieces * 1.05:
        yield (
            f"{who}: a piece of text held {level.tokens / level.pieces:.2f} tokens on average;"
            " gaps are those between pieces"
        )
    if level.client_cpu_share > BUSY_SHARE:
        yield (
            f"{who}: the measuring process itself took {level.client_cpu_share:.0%} of a core and"
            " may have slowed what it measured"
        )


def _failures_text(failures: Failures) -> str:
    text = f"{failures.count} failed: {failures.reason}"
    if failures.message:
        text += f" ({failures.message})"
    if failures.retry_after_s is not None:
        least, most = (f"{wait_s:g}" for wait_s in failures.retry_after_s)
        text += f"; Retry-After {least if least == most else f'{least} to {most}'} s"
    return text


def share_text(share: float) -> str:
    """Return a share that is above 0, in percent."""
    return "<1%" if share < 0.01 else f"{share:.0%}"


def number_text(value: float) -> str:
    """Return a number with three digits, or more in front of the point."""
    return f"{value:.0f}" if value >= 99.95 or value == 0 else f"{value:#.3g}"


def duration_text(seconds: float) -> str:
    """Return a time with three digits, in milliseconds or seconds."""
    if seconds < 0.9995:
        return f"{number_text(seconds * 1000)} ms"
    return f"{number_text(seconds)} s"
