# SPDX-License-Identifier: GPL-3.0-only
"""A program that lets llama.cpp follow grammars over a real vocabulary, and tells how long it took.

It is given the path of a model, a limit for its processor time in seconds and, on standard input,
a list of grammars as JSON. For each grammar it writes a line: whether llama.cpp takes it, the
longest that one look at the vocabulary has taken, in seconds, and the text of a walk through it
that chose among the tokens at random, with a taste for long ones and for the end.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
from random import Random
from time import perf_counter

import llama_cpp
import numpy as np

STEPS = 25


class Walker:
    def __init__(self, path: str) -> None:
        params = llama_cpp.llama_model_default_params()
        params.vocab_only = True
        model = llama_cpp.llama_model_load_from_file(path.encode(), params)
        self._vocab = llama_cpp.llama_model_get_vocab(model)
        self._count = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self._pieces = [self._piece(token) for token in range(self._count)]
        self._random = Random(1)

    def walk(self, grammar: str) -> tuple[bool, float, str, bool]:
        sampler = llama_cpp.llama_sampler_init_grammar(self._vocab, grammar.encode(), b"root")
        if not sampler:
            return False, 0.0, "", False
        text, longest = b"", 0.0
        for _ in range(STEPS):
            start = perf_counter()
            allowed = self._allowed(sampler)
            longest = max(longest, perf_counter() - start)
            ends = [t for t in allowed if llama_cpp.llama_vocab_is_eog(self._vocab, t)]
            goes_on = sorted(set(allowed) - set(ends))
            if not goes_on or (ends and self._random.random() < 0.1):
                break
            some = self._random.sample(goes_on, min(8, len(goes_on)))
            token = max(some, key=lambda t: len(self._pieces[t]) * self._random.random())
            text += self._pieces[token]
            start = perf_counter()
            llama_cpp.llama_sampler_accept(sampler, token)
            longest = max(longest, perf_counter() - start)
        llama_cpp.llama_sampler_free(sampler)
        return True, longest, text.decode(errors="replace"), bool(ends)

    def _allowed(self, sampler: int) -> list[int]:
        data = (llama_cpp.llama_token_data * self._count)()
        view = np.frombuffer(data, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
        view["id"] = np.arange(self._count)
        candidates = llama_cpp.llama_token_data_array(data, self._count, -1, False)
        llama_cpp.llama_sampler_apply(sampler, ctypes.byref(candidates))
        return [int(token) for token in view["id"][view["logit"] > -1.0]]

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        size = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, 256, 0, True)
        return buffer.raw[: max(size, 0)]


def main() -> None:
    limit_s = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    walker = Walker(sys.argv[1])
    print("ready", flush=True)
    for grammar in json.load(sys.stdin):
        print(json.dumps(walker.walk(grammar)), flush=True)


if __name__ == "__main__":
    main()
