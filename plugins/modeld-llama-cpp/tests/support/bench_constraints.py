# SPDX-License-Identifier: GPL-3.0-only
"""Measures what it costs to follow a constraint, against free generations to the same prompts.

    python plugins/modeld-llama-cpp/tests/support/bench_constraints.py MODEL.gguf \\
        --clients 1 8 32 --threads 1 --repeats 7

The time for a token is that of all steps in which every client's generation runs; a free one has as
many tokens. Each row has the median of the ratios of pairs that were measured one after the other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modeld_llama_cpp.engine.engine import LlamaEngine
from modeld_llama_cpp.sampling.logits import Row
from modeld_llama_cpp.sampling.sampler import Sampler

from modeld import Done, GenerateRequest, ModelSpec, Sampling

PROMPT = "A JSON object with the name, age, e-mail address and favourite colours of a person:\n"

NOTES = {
    "type": "array",
    "items": {"type": "string", "maxLength": 200},
    "minItems": 3,
}
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "email_address": {"type": "string", "maxLength": 40},
        "favourite_colours": {
            "type": "array",
            "items": {"enum": ["red", "green", "blue", "yellow"]},
            "minItems": 2,
            "maxItems": 4,
        },
        "is_member": {"type": "boolean"},
    },
    "required": ["name", "age", "email_address", "favourite_colours", "is_member"],
    "additionalProperties": False,
}
FORMS = {"texts": NOTES, "an object": PERSON}


@dataclass
class Run:
    """How many tokens came in what time, and how many of them were chosen."""

    tokens: int
    chosen: int
    spent_s: float

    @property
    def token_s(self) -> float:
        return self.spent_s / self.tokens


class Bench:
    """One engine, for as many clients as there are."""

    def __init__(self, path: Path, clients: int, threads: int) -> None:
        spec = ModelSpec(id=path.name, name=path.name, path=str(path))
        options = {"threads": threads, "slots": clients, "context": 512 * clients}
        self._engine = LlamaEngine.open(spec, options, lambda _: None)
        self._engine._constraints.ready.result()
        self._clients = clients
        self._next_id = 0
        self._chosen = 0

    def close(self) -> None:
        self._engine.close()

    def run(self, most: int, **fields: object) -> Run:
        """Let all clients ask, and time the steps in which all of their generations run."""
        ids = [self._submit(number, most, fields) for number in range(self._clients)]
        began: set[int] = set()
        tokens = chosen = 0
        spent_s = 0.0
        while True:
            before, chosen_before, started = self._written(), self._chosen, time.perf_counter()
            chunks = self._engine.step()
            step_s = time.perf_counter() - started
            if any(isinstance(chunk, Done) for _, chunk in chunks):
                break
            if len(began) == len(ids):
                spent_s += step_s
                tokens += self._written() - before
                chosen += self._chosen - chosen_before
            began |= {request_id for request_id, _ in chunks}
        for request_id in ids:
            self._engine.cancel(request_id)
        return Run(tokens, chosen, spent_s)

    def first_token_s(self, **fields: object) -> float:
        """How long one client waits for its first token."""
        started = time.perf_counter()
        request_id = self._submit(0, 32, fields)
        while not self._engine.step():
            pass
        waited_s = time.perf_counter() - started
        self._engine.cancel(request_id)
        return waited_s

    def counted(self, choose: Callable[[Sampler, Row], int]) -> Callable[[Sampler, Row], int]:
        """Count the choices that are made."""

        def count(sampler: Sampler, row: Row) -> int:
            self._chosen += 1
            return choose(sampler, row)

        return count

    def _submit(self, number: int, most: int, fields: dict[str, object]) -> int:
        self._next_id += 1
        sampling = Sampling(seed=self._next_id, ignore_eos=not fields)
        request = GenerateRequest(
            prompt=f"{number}. {PROMPT}",
            max_tokens=most,
            sampling=sampling,
            cache_prompt=False,
            **fields,
        )
        self._engine.submit(self._next_id, request)
        return self._next_id

    def _written(self) -> int:
        return sum(one._tokens for one in self._engine._generations.values())


def pairs(bench: Bench, schema: dict[str, object], repeats: int) -> str:
    """The row of one form: what its tokens cost against those of free generations."""
    ratios, forced, token_s = [], [], []
    for number in range(repeats + 1):
        bound = bench.run(200, json_schema=schema)
        free = bench.run(max(4, bound.tokens // bench._clients))
        if number:  # the first warms up
            ratios.append(bound.token_s / free.token_s)
            forced.append(1 - bound.chosen / bound.tokens)
            token_s.append(free.token_s)
    return (
        f"{statistics.median(ratios):.3f} times a free one's time for a token"
        f" ({min(ratios):.3f} to {max(ratios):.3f}),"
        f" which is {statistics.median(token_s) * 1e3:.2f} ms;"
        f" {100 * statistics.median(forced):.0f} % forced"
    )


def later(bench: Bench, repeats: int) -> str:
    """How much later a constrained generation begins whose schema has not been seen before."""
    waits = []
    for number in range(repeats + 1):
        schema = PERSON | {"title": f"number {number}"}
        free = bench.first_token_s(logprobs=0)
        bound = bench.first_token_s(json_schema=schema, logprobs=0)
        waits.append(bound - free)
    return f"{statistics.median(waits[1:]) * 1e3:+.1f} ms to the first token"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    choose = Sampler.choose
    for clients in given.clients:
        bench = Bench(given.model, clients, given.threads)
        Sampler.choose = bench.counted(choose)  # type: ignore[method-assign]
        what = f"constraints, {given.model.name[:7]}, {clients:2d} clients"
        for name, schema in FORMS.items():
            print(f"{what}, {name}: {pairs(bench, schema, given.repeats)}", flush=True)
        if clients == 1:
            print(f"{what}, first seen: {later(bench, given.repeats)}", flush=True)
        Sampler.choose = choose  # type: ignore[method-assign]
        bench.close()


if __name__ == "__main__":
    main()
