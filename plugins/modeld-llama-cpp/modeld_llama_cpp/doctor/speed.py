# SPDX-License-Identifier: GPL-3.0-only
"""Measures how fast one model reads and writes with different numbers of threads. In a worker.

A round measures each number once, and one that comes early in a round comes late in the next. So
what else the machine does hits all of them alike, and does not decide the median of the rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import llama_cpp
import msgspec

from modeld import ModelSpec
from modeld.errors import LoadFailedError
from modeld.values import JsonValue
from modeld_llama_cpp.doctor.cpu import OtherPrograms, thread_counts
from modeld_llama_cpp.doctor.facts import Measured, Samples
from modeld_llama_cpp.native import model as models
from modeld_llama_cpp.native import native_log
from modeld_llama_cpp.native.cores import usable_cores
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing import context_size
from modeld_llama_cpp.sizing.model_shape import shape_of

LIMIT_S: Final = 25.0
"""After so long no further round begins; the load is not counted."""

MOST_ROUNDS: Final = 7
_LONGEST_SAMPLE_S: Final = 0.5
_CONTEXT: Final = 1024
_FIRST_TOKENS: Final = 32
_FEWEST_STEPS: Final = 2


def measure(spec: ModelSpec, options: Mapping[str, object]) -> JsonValue:
    """Return a :class:`Measured` as plain data.

    Raises:
        InvalidModelError: the file cannot be used.
        LoadFailedError: there is not enough memory, or the model cannot be computed.
    """
    checked = msgspec.convert(options, LlamaOptions)
    small = _small(spec, checked)
    if context_size.makes_vectors(shape_of(spec), checked):
        model = models.load_for_embeddings(spec, small, lambda _fraction: None)
    else:
        model = models.load(spec, small, lambda _fraction: None)
    try:
        plain: JsonValue = msgspec.to_builtins(_measured(Bench(model, spec.id), checked))
    finally:
        model.close()
    return plain


def rounds(
    numbers: Sequence[int],
    sample: Callable[[int], tuple[float, float | None]],
    *,
    deadline_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Samples, ...]:
    """Return the samples of whole rounds: until there are enough, or time is up."""
    taken: list[dict[int, tuple[float, float | None]]] = []
    longest_s = 0.0
    while len(taken) < MOST_ROUNDS and clock() + longest_s < deadline_s:
        order = numbers if len(taken) % 2 == 0 else numbers[::-1]
        begun_s = clock()
        taken.append({number: sample(number) for number in order})
        longest_s = max(longest_s, clock() - begun_s)
    return tuple(
        Samples(
            threads=number,
            read=tuple(each[number][0] for each in taken),
            written=tuple(speed for each in taken if (speed := each[number][1]) is not None),
        )
        for number in numbers
    )


class Bench:
    """Computes with a loaded model and measures how long that takes."""

    def __init__(self, model: models.Model, model_id: str) -> None:
        self._context = model.context
        self._id = model_id
        self._memory = llama_cpp.llama_get_memory(model.context)  # an encoder has none
        self._writes = model.pooling is None
        self._cells = model.context_length
        vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model.weights))
        self._most = min(model.batch, model.context_length // 2)
        tokens = ((7919 * index) % vocabulary for index in range(self._most))
        self._tokens = (llama_cpp.llama_token * self._most)(*tokens)
        self.prompt_tokens = min(_FIRST_TOKENS, self._most)

    def warm_up(self, numbers: Iterable[int], sample_s: float) -> None:
        """Have the threads made, and choose a prompt that takes about ``sample_s`` to read."""
        speeds = [self.sample(number, 0.0)[0] for number in numbers]
        speeds.append(self.sample(max(numbers), 0.0)[0])
        self.prompt_tokens = max(self.prompt_tokens, min(self._most, int(speeds[-1] * sample_s)))

    def sample(self, threads: int, sample_s: float) -> tuple[float, float | None]:
        """Return the tokens per second read and, for ``sample_s``, written with so many threads.

        What is written is ``None`` for a model of vectors.
        """
        llama_cpp.llama_set_n_threads(self._context, threads, threads)
        if self._memory:
            llama_cpp.llama_memory_clear(self._memory, False)  # noqa: FBT003  (leave the data)
        read = self.prompt_tokens / self._seconds(self.prompt_tokens)
        if not self._writes:
            return read, None
        self._seconds(1)  # the first one lays out the graph: it is slower and does not count
        steps, seconds = 0, 0.0
        most = self._cells - self.prompt_tokens - 1
        while steps < most and (steps < _FEWEST_STEPS or seconds < sample_s):
            seconds += self._seconds(1)
            steps += 1
        return read, steps / seconds

    def _seconds(self, count: int) -> float:
        batch = llama_cpp.llama_batch_get_one(self._tokens, count)
        begun_s = time.perf_counter()
        with native_log.Withheld():
            code = llama_cpp.llama_decode(self._context, batch)
        llama_cpp.llama_synchronize(self._context)
        if code != 0:
            raise LoadFailedError(f"{self._id}: llama_decode returned {code}")
        return time.perf_counter() - begun_s


def _measured(bench: Bench, options: LlamaOptions) -> Measured:
    threads = options.threads or usable_cores()
    threads_batch = options.threads_batch or threads
    numbers = thread_counts((threads, threads_batch))
    begun_s = time.monotonic()
    sample_s = min(_LONGEST_SAMPLE_S, LIMIT_S / (2 * len(numbers) * MOST_ROUNDS))
    bench.warm_up(numbers, sample_s)
    others = OtherPrograms()
    samples = rounds(
        numbers, lambda number: bench.sample(number, sample_s), deadline_s=begun_s + LIMIT_S
    )
    return Measured(
        threads=threads,
        threads_batch=threads_batch,
        prompt_tokens=bench.prompt_tokens,
        others=others.processors(),
        samples=samples,
    )


def _small(spec: ModelSpec, options: LlamaOptions) -> LlamaOptions:
    """Return the options with no more memory for tokens than the measurement takes."""
    return msgspec.structs.replace(
        options,
        slots=1,
        context=min(context_size.context_tokens(options, spec.context_length), _CONTEXT),
        batch=min(options.batch or options.ubatch, _CONTEXT),
        ubatch=min(options.ubatch, _CONTEXT),
        cache_tokens=0,
        draft_tokens=0,
    )
