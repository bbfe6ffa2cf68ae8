# SPDX-License-Identifier: GPL-3.0-only
"""Measures the engine's steps: tokens a second, and Python's share of a step.

    python plugins/modeld-llama-cpp/tests/support/bench_steps.py MODEL.gguf \\
        --sequences 1 4 16 --threads 1 2

A step's own time is what is left of it after `llama_decode` and the samplers. Medians of all steps
in which every sequence decodes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from modeld_llama_cpp.engine.engine import LlamaEngine
from modeld_llama_cpp.engine.runner import llama_cpp as runner_binding
from modeld_llama_cpp.sampling.logits import Row
from modeld_llama_cpp.sampling.sampler import Sampler

from modeld import Done, GenerateRequest, ModelSpec, Sampling

TOPICS = ("rivers", "castles", "bread", "trains", "bees", "glass", "winter", "maps")


class Stopwatch:
    """Adds up the time spent in a function that it is put around."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self.spent_s = 0.0

    def __call__(self, *arguments: object) -> object:
        start = time.perf_counter()
        try:
            return self._function(*arguments)
        finally:
            self.spent_s += time.perf_counter() - start


def measure(path: Path, sequences: int, options: dict[str, object], tokens: int) -> str:
    """Return one row: as many requests as there are sequences, each with a prompt of its own."""
    spec = ModelSpec(id=path.name, name=path.name, path=str(path))
    engine = LlamaEngine.open(spec, options | {"slots": sequences}, lambda _: None)
    decode = Stopwatch(runner_binding.llama_decode)
    choose = Sampler.choose
    sample = Stopwatch(choose)
    runner_binding.llama_decode = decode

    def timed(self: Sampler, row: Row) -> int:
        start = time.perf_counter()
        token = choose(self, row)
        sample.spent_s += time.perf_counter() - start
        return token

    Sampler.choose = timed
    try:
        return _measure(engine, sequences, tokens, decode, sample)
    finally:
        runner_binding.llama_decode = decode._function
        Sampler.choose = choose
        engine.close()


def _measure(
    engine: LlamaEngine, sequences: int, tokens: int, decode: Stopwatch, sample: Stopwatch
) -> str:
    for number in range(sequences):
        topic = TOPICS[number % len(TOPICS)]
        prompt = f"{number}. Here is all that I know about {topic} and where they come from. " * 5
        sampling = Sampling(seed=number, ignore_eos=True)
        request = GenerateRequest(prompt=prompt, max_tokens=tokens, sampling=sampling)
        engine.submit(number, request)
    steps: list[tuple[float, float, float]] = []
    running = sequences
    began = set[int]()
    while running == sequences:
        before = decode.spent_s, sample.spent_s, time.perf_counter()
        chunks = engine.step()
        after = decode.spent_s, sample.spent_s, time.perf_counter()
        if len(began) == sequences:
            steps.append(tuple(b - a for a, b in zip(before, after, strict=True)))
        began |= {request_id for request_id, _ in chunks}
        running -= sum(isinstance(chunk, Done) for _, chunk in chunks)
    decoding, sampling, whole = (statistics.median(column) for column in zip(*steps, strict=True))
    own = statistics.median(step[2] - step[0] - step[1] for step in steps)
    return (
        f"{sequences:4d} sequences  {sequences / whole:7.1f} tokens/s  step {whole * 1e3:7.2f} ms"
        f"  decode {decoding * 1e3:7.2f}  sampling {sampling * 1e3:5.2f}"
        f"  Python {own * 1e6:5.0f} us = {100 * own / whole:.2f} %  ({len(steps)} steps)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--sequences", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--context", type=int, default=8192)
    given = parser.parse_args()
    for threads in given.threads:
        for sequences in given.sequences:
            options = {"threads": threads, "context": given.context}
            print(f"{threads} threads", measure(given.model, sequences, options, given.tokens))


if __name__ == "__main__":
    main()
