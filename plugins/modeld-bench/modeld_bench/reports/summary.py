# SPDX-License-Identifier: GPL-3.0-only
"""The figures of one level."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modeld_bench.level import Level
from modeld_bench.outcome import MESSAGE_CHARS, Answered, Failed
from modeld_bench.reports.distribution import Distribution, gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Requests that failed for one reason, with what the first of them was told.

    ``retry_after_s`` is the shortest and the longest wait that the server asked for.
    """

    reason: str
    count: int
    message: str
    retry_after_s: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What one level has shown. Rates are over ``wall_s``, from the first request to the last end.

    Tokens and times are those of answered requests. ``prompt_tokens`` is None unless the server
    counts them; what it had in a cache is in ``cached_tokens`` and not in ``prompt_tokens_per_s``.
    ``counted`` is how many generations the server has counted the tokens of; in others each
    piece of text counts as one. A ``gap_s`` is the time between two pieces. ``unfinished`` requests
    were under way when the level was interrupted. ``client_cpu_share`` is the part of one core that
    the measuring process took.
    """

    concurrency: int
    complete: bool
    requests: int
    answered: int
    failed: int
    failed_share: float
    unfinished: int
    failures: tuple[Failures, ...]
    wall_s: float
    tokens: int
    pieces: int
    counted: int
    prompt_tokens: int | None
    cached_tokens: int | None
    tokens_per_s: float
    requests_per_s: float
    prompt_tokens_per_s: float | None
    first_token_s: Distribution | None
    gap_s: Distribution | None
    total_s: Distribution | None
    client_cpu_share: float


def summarise(level: Level) -> Summary:
    """Return the figures of a level that has at least one outcome."""
    outcomes = level.outcomes
    answered = [each for each in outcomes if isinstance(each, Answered)]
    failures = [each for each in outcomes if isinstance(each, Failed)]
    wall_s = max(each.ended_s for each in outcomes) - min(each.sent_s for each in outcomes)
    tokens = sum(each.tokens for each in answered)
    prompt_tokens = _total(each.usage.prompt_tokens for each in answered)
    cached_tokens = _total(each.usage.cached_tokens for each in answered)
    read = None if prompt_tokens is None else prompt_tokens - (cached_tokens or 0)
    return Summary(
        concurrency=level.concurrency,
        complete=level.complete,
        requests=len(outcomes),
        answered=len(answered),
        failed=len(failures),
        failed_share=len(failures) / len(outcomes),
        unfinished=level.begun - len(outcomes),
        failures=_by_reason(failures),
        wall_s=wall_s,
        tokens=tokens,
        pieces=sum(len(each.arrivals_s) for each in answered),
        counted=sum(each.usage.completion_tokens is not None for each in answered),
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        tokens_per_s=_rate(tokens, wall_s),
        requests_per_s=_rate(len(answered), wall_s),
        prompt_tokens_per_s=None if read is None else _rate(read, wall_s),
        first_token_s=Distribution.of(
            each.arrivals_s[0] - each.sent_s for each in answered if each.arrivals_s
        ),
        gap_s=Distribution.of(gap for each in answered for gap in gaps(each.arrivals_s)),
        total_s=Distribution.of(each.ended_s - each.sent_s for each in answered),
        client_cpu_share=level.cpu_share,
    )


def _total(numbers: Iterable[int | None]) -> int | None:
    """Return the sum; ``None`` where nothing or not everything is known."""
    known = list(numbers)
    whole = [number for number in known if number is not None]
    return sum(whole) if known and len(whole) == len(known) else None


def _rate(count: int, wall_s: float) -> float:
    return count / wall_s if wall_s > 0 else 0.0


def _by_reason(failures: Sequence[Failed]) -> tuple[Failures, ...]:
    """Return how many failed for each reason, the most frequent first."""
    groups: dict[str, list[Failed]] = {}
    for each in failures:
        groups.setdefault(each.reason, []).append(each)
    counted = [_group(reason, group) for reason, group in groups.items()]
    return tuple(sorted(counted, key=lambda each: -each.count))


def _group(reason: str, group: Sequence[Failed]) -> Failures:
    waits_s = [each.retry_after_s for each in group if each.retry_after_s is not None]
    return Failures(
        reason=reason,
        count=len(group),
        message=next((each.message for each in group if each.message), "")[:MESSAGE_CHARS],
        retry_after_s=(min(waits_s), max(waits_s)) if waits_s else None,
    )
