# SPDX-License-Identifier: GPL-3.0-only
"""Advice on the options ``threads`` and ``threads_batch``, as far as measured speeds can tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from statistics import median, quantiles
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from modeld import Finding, ModelSpec
from modeld.values import JsonValue
from modeld_llama_cpp.doctor.facts import Measured, Samples

MOST_OTHERS: Final = 0.25
"""How many processors' time other programs may take during a measurement that tells something."""

WORTH: Final = 1.10
"""How much faster another number must be to be named."""

SURE: Final = 1.05
"""How much faster it must have been in three of four rounds."""

FEWEST_ROUNDS: Final = 3

MOST_SPREAD: Final = 0.4
"""The middle half of the samples may spread over so much of their median."""

_Verdict: TypeAlias = tuple[Literal["ok", "warning"], str, str | None]
_AGAIN: Final = "measure again when nothing else runs (`top` shows what does)"


class Certainty(Enum):
    """What the samples tell."""

    KEEP = auto()
    CHANGE = auto()
    UNCLEAR = auto()


class Choice(NamedTuple):
    """The fastest number, how much faster than the ``current`` one, and whether that is sure."""

    current: int
    best: int
    gain: float
    certainty: Certainty


def choose(samples: Mapping[int, Sequence[float]], current: int) -> Choice:
    """Return the number with the best median, compared round by round with the current one."""
    best = max(samples, key=lambda number: median(samples[number]) if samples[number] else 0.0)
    ratios = [one / other for one, other in zip(samples[best], samples[current], strict=True)]
    if len(ratios) < FEWEST_ROUNDS:
        return Choice(current, best, median(ratios) if ratios else 1.0, Certainty.UNCLEAR)
    gain = median(ratios)
    if best != current and gain > WORTH:
        is_sure = quantiles(ratios, n=4, method="inclusive")[0] > SURE
        return Choice(current, best, gain, Certainty.CHANGE if is_sure else Certainty.UNCLEAR)
    is_steady = max(_spread(samples[best]), _spread(samples[current])) <= MOST_SPREAD
    return Choice(current, best, gain, Certainty.KEEP if is_steady else Certainty.UNCLEAR)


def finding(spec: ModelSpec, measured: Measured) -> Finding:
    """Return the fastest numbers of threads and what to set, or that it is unclear."""
    level, remark, fix = _verdict(spec, measured)
    return Finding(
        subject="threads",
        level=level,
        message=f"{spec.id}: {_table(measured.samples)}; {remark}",
        fix=fix,
        facts=_facts(spec, measured),
    )


def _verdict(spec: ModelSpec, measured: Measured) -> _Verdict:
    """Return the level, what the speeds tell, and the fix."""
    read = {each.threads: each.read for each in measured.samples}
    written = {each.threads: each.written for each in measured.samples if each.written}
    if not all(read.values()):
        return "warning", "no round was finished in time", "measure with a smaller model (--model)"
    if measured.others > MOST_OTHERS:
        remark = (
            f"other programs took the time of {measured.others:.1f} processors meanwhile, so this"
            " does not tell which is fastest"
        )
        return "warning", remark, _AGAIN
    reading = choose(read, measured.threads_batch)
    writing = choose(written, measured.threads) if written else None
    if change := _change(writing, reading, measured):
        row = f"{{{json.dumps(_pattern(spec, writing))}: {change}}}"
        fix = f"in the settings (after other rows of models, if there are some), models: {row}"
        return "warning", _gains(writing, reading), fix
    if Certainty.UNCLEAR in (reading.certainty, (writing or reading).certainty):
        remark = "the speeds of the rounds differ too much to tell which is fastest"
        return "warning", remark, _AGAIN
    now = str(measured.threads)
    if measured.threads_batch != measured.threads:
        now += f" (and {measured.threads_batch} to read)"
    return "ok", f"none is more than 10 % faster than {now}, which is in use", None


def _pattern(spec: ModelSpec, writing: Choice | None) -> str:
    """Return the pattern of the models that this one tells of.

    Only names of files are this backend's for sure; another's would refuse the options.
    """
    is_like_others = writing is not None and spec.id.endswith(".gguf")
    return "*.gguf" if is_like_others else spec.id


def _change(writing: Choice | None, reading: Choice, measured: Measured) -> str:
    """Return the options to write, as YAML; nothing where they can stay."""
    leading = reading if writing is None else writing
    if Certainty.CHANGE not in (leading.certainty, reading.certainty):
        return ""
    threads = leading.best if leading.certainty is Certainty.CHANGE else measured.threads
    batch = measured.threads_batch
    if reading.certainty is Certainty.CHANGE or reading.best == threads:
        batch = reading.best
    rows = {"threads": threads} if threads != measured.threads else {}
    if batch != threads or measured.threads_batch != measured.threads:
        rows["threads_batch"] = batch
    return "{" + ", ".join(f"{name}: {value}" for name, value in rows.items()) + "}"


def _gains(writing: Choice | None, reading: Choice) -> str:
    parts = [
        f"{verb} with {choice.best} is {choice.gain:.2f} times as fast as with {choice.current}"
        for verb, choice in (("writing", writing), ("reading", reading))
        if choice is not None and choice.certainty is Certainty.CHANGE
    ]
    return ", ".join(parts)


def _table(samples: Sequence[Samples]) -> str:
    return ", ".join(
        f"{each.threads} {'thread' if each.threads == 1 else 'threads'} {_speeds(each)}"
        for each in samples
    )


def _speeds(each: Samples) -> str:
    read = f"{median(each.read):.0f}" if each.read else "?"
    if not each.written:
        return f"{read} tokens/s read"
    return f"{median(each.written):.1f} tokens/s written and {read} read"


def _facts(spec: ModelSpec, measured: Measured) -> Mapping[str, JsonValue]:
    return {
        "model": spec.id,
        "threads": measured.threads,
        "threads_batch": measured.threads_batch,
        "prompt_tokens": measured.prompt_tokens,
        "others": round(measured.others, 2),
        "samples": msgspec.to_builtins(measured.samples),
    }


def _spread(samples: Sequence[float]) -> float:
    low, middle, high = quantiles(samples, n=4, method="inclusive")
    return (high - low) / middle
