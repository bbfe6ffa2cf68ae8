# SPDX-License-Identifier: GPL-3.0-only
"""Handing llama.cpp few tokens chooses the same as handing it all of them."""

from __future__ import annotations

import llama_cpp
import msgspec
import numpy as np
import pytest
from modeld_llama_cpp.constraints.matching.matcher_cache import Constraints
from modeld_llama_cpp.native.model import load
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sampling.logits import Logits, Row
from modeld_llama_cpp.sampling.parameters import Choice, decide
from modeld_llama_cpp.sampling.sampler import Sampler, Samplers
from sampler_rig import noise
from sampling_fields import sampling_of
from wide_vocabulary import SIZE

from modeld import GenerateRequest, ModelSpec, Sampling

ROWS = 400


class Reference:
    """The same chain over the whole vocabulary, as ``llama_sampler_sample`` lays it out."""

    def __init__(self, samplers: Samplers, choice: Choice, grammar: str | None = None) -> None:
        self._size = samplers.vocabulary_size
        banned = choice.banned | (samplers.end_tokens if choice.ignore_eos else set())
        self._banned = list(banned)
        self._chain = samplers.chains.make(choice)
        self._grammar = grammar and llama_cpp.llama_sampler_init_grammar(
            samplers.vocab, grammar.encode(), b"root"
        )

    def choose(self, row: Row) -> int:
        token = self._apply(row, self._chain)
        if self._grammar and not self._allowed(token):
            token = self._apply(row, self._grammar, self._chain)
        self.accept(token)
        if self._grammar:
            llama_cpp.llama_sampler_accept(self._grammar, token)
        return token

    def accept(self, token: int) -> None:
        llama_cpp.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        for sampler in (self._chain, self._grammar):
            if sampler:
                llama_cpp.llama_sampler_free(sampler)

    def _apply(self, row: Row, *samplers: int) -> int:
        tokens = np.zeros((self._size, 3), np.int32)  # id, logit, p
        tokens[:, 0] = np.arange(self._size)
        tokens.view(np.float32)[:, 1] = row
        tokens.view(np.float32)[self._banned, 1] = -np.inf
        array = llama_cpp.llama_token_data_array(
            data=tokens.ctypes.data_as(llama_cpp.llama_token_data_p), size=self._size, selected=-1
        )
        for sampler in samplers:
            llama_cpp.llama_sampler_apply(sampler, array)
        return array.data[array.selected].id

    def _allowed(self, token: int) -> bool:
        one = (llama_cpp.llama_token_data * 1)((token, 0.0, 0.0))
        array = llama_cpp.llama_token_data_array(data=one, size=1, selected=-1)
        llama_cpp.llama_sampler_apply(self._grammar, array)
        return one[0].logit == 0.0


SAMPLINGS = {
    "greedy": sampling_of(temperature=0.0),
    "greedy without ends": sampling_of(temperature=0.0, ignore_eos=True),
    "greedy with penalties": sampling_of(
        temperature=0.0, repeat_penalty=1.3, frequency_penalty=0.2
    ),
    "defaults": sampling_of(),
    "one": sampling_of(top_k=1),
    "widest that is narrowed": sampling_of(top_k=312, temperature=3.0, min_p=0.0, top_p=1.0),
    "too wide to be narrowed": sampling_of(top_k=313),
    "penalties": sampling_of(
        repeat_penalty=1.4, presence_penalty=0.5, frequency_penalty=0.1, top_k=9
    ),
    "negative penalties": sampling_of(
        repeat_penalty=0.5, presence_penalty=-2.0, frequency_penalty=-1.0, repeat_last_n=30
    ),
    "the whole context lowered": sampling_of(repeat_penalty=1.4, repeat_last_n=-1),
    "the whole context lowered at random": sampling_of(
        presence_penalty=1.0,
        repeat_last_n=-1,
        temperature=5.0,
        top_p=1.0,
        min_p=0.0,
        top_k=100,
        logit_bias=((7, -3.0), (8, None)),
        ignore_eos=True,
    ),
    "the whole context raised": sampling_of(frequency_penalty=-0.1, repeat_last_n=-1),
    "dry": sampling_of(dry_multiplier=2.0, dry_allowed_length=1, dry_penalty_last_n=20),
    "biases": sampling_of(
        logit_bias=(*((token, token % 7 * 4.0 - 12.0) for token in range(0, 60, 3)), (5, None))
    ),
    "flat": sampling_of(temperature=5.0, top_p=1.0, min_p=0.0),
    "flat with penalties": sampling_of(
        temperature=5.0, top_p=1.0, min_p=0.0, repeat_penalty=1.4, presence_penalty=2.0
    ),
    "all filters": sampling_of(
        typical_p=0.9, top_p=0.8, min_p=0.01, xtc_probability=0.5, dynatemp_range=0.5
    ),
    "no first filter": sampling_of(top_k=0, typical_p=0.9, min_p=0.01),
    "sigma": sampling_of(top_n_sigma=1.0, temperature=2.0),
    "mirostat 1": sampling_of(mirostat=1, repeat_penalty=1.2),
    "mirostat 2": sampling_of(mirostat=2, repeat_penalty=1.2),
}

NOT_NARROWED = ("too wide", "the whole context raised", "no first", "sigma", "mirostat")


def changing(number: int) -> Row:
    """Logits that have much in common with those before, so that tokens come again."""
    return noise(0) + noise(number + 1, 0.5)


def read(ours: Sampler, reference: Reference, length: int) -> None:
    """A prompt, which has likely tokens in it too."""
    likely = np.argsort(-noise(0))[:length:5]
    prompt = [*np.random.default_rng(9).integers(0, SIZE, length).tolist(), *likely.tolist()]
    ours.accept_prompt(prompt)
    for token in prompt:
        reference.accept(token)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_few_candidates_choose_as_all_of_them_do(name: str, samplers: Samplers) -> None:
    choice = decide(msgspec.structs.replace(SAMPLINGS[name], seed=3), SIZE)
    ours, reference = samplers.new(choice), Reference(samplers, choice)
    read(ours, reference, 450 if "whole" in name else 50)
    widest = 0
    for number in range(ROWS):
        row = changing(number)
        assert ours.choose(row) == reference.choose(row), number
        widest = max(widest, samplers.candidates.count)
    assert (widest > SIZE // 2) == name.startswith(NOT_NARROWED)
    ours.close()
    reference.close()


@pytest.mark.parametrize("letters", ["abc", "a-d", "a-e", "a-m"])
@pytest.mark.parametrize(
    "name", ["greedy", "defaults", "flat", "flat with penalties", "biases", "no first filter"]
)
def test_so_they_do_with_a_grammar(
    name: str, letters: str, samplers: Samplers, constraints: Constraints
) -> None:
    """Of the few first tried too few, nearly enough, just enough or plenty are allowed."""
    grammar = f"root ::= ([{letters}] [0-9]*)*"
    sampling = msgspec.structs.replace(SAMPLINGS[name], seed=3, own={}, ignore_eos=True)
    choice = decide(sampling, SIZE)
    ours = samplers.new(choice, constraints.matcher(GenerateRequest(grammar=grammar)))
    reference = Reference(samplers, choice, grammar)
    for number in range(60):
        row = changing(number)
        assert ours.choose(row) == reference.choose(row), number
    ours.close()
    reference.close()


@pytest.mark.parametrize("letters", ["abc", "a-m", "a-z"])
@pytest.mark.parametrize(
    "sampling", [sampling_of(), sampling_of(top_p=1.0, min_p=0.0, temperature=3.0)]
)
def test_so_they_do_with_a_grammar_and_a_long_memory(
    letters: str, sampling: Sampling, samplers: Samplers, constraints: Constraints
) -> None:
    grammar = f"root ::= ([{letters}] [0-9]*)*"
    long = {"seed": 3, "presence_penalty": 1.0, "ignore_eos": True, "own": {"repeat_last_n": -1}}
    choice = decide(msgspec.structs.replace(sampling, **long), SIZE)
    ours = samplers.new(choice, constraints.matcher(GenerateRequest(grammar=grammar)))
    reference = Reference(samplers, choice, grammar)
    read(ours, reference, 450)
    for number in range(60):
        row = changing(number)
        assert ours.choose(row) == reference.choose(row), number
    ours.close()
    reference.close()


def test_equal_logits_are_chosen_from_the_same_way_each_time(samplers: Samplers) -> None:
    choice = decide(sampling_of(seed=3, repeat_penalty=1.2), SIZE)
    rows = [np.round(changing(number)) for number in range(100)]
    first, second = samplers.new(choice), samplers.new(choice)
    assert [first.choose(row) for row in rows] == [second.choose(row) for row in rows]
    first.close()
    second.close()


@pytest.mark.model
@pytest.mark.parametrize("model_fixture", ["smollm2", "gemma3"])
@pytest.mark.parametrize(
    "sampling",
    [
        sampling_of(temperature=0.0),
        sampling_of(seed=4),
        sampling_of(seed=4, temperature=2.0, repeat_penalty=1.3, presence_penalty=0.5),
        sampling_of(seed=4, dry_multiplier=1.0, top_k=7),
        sampling_of(seed=4, top_k=0, temperature=1.5),
    ],
)
def test_so_they_do_on_a_models_own_logits(
    model_fixture: str, sampling: Sampling, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(model_fixture)
    spec = ModelSpec(id=path.name, name=path.name, path=str(path))
    model = load(spec, LlamaOptions(context=256, threads=1), lambda _: None)
    samplers = Samplers(model.weights, model.context_length)
    logits = Logits(model.context, samplers.vocabulary_size)
    choice = decide(sampling, samplers.vocabulary_size)
    ours, chain = samplers.new(choice), samplers.chains.make(choice)
    token = llama_cpp.llama_vocab_bos(samplers.vocab)
    for _ in range(40):
        batch = llama_cpp.llama_batch_get_one((llama_cpp.llama_token * 1)(token), 1)
        assert llama_cpp.llama_decode(model.context, batch) == 0
        token = ours.choose(logits.rows(1)[0])
        assert token == llama_cpp.llama_sampler_sample(chain, model.context, -1)
    ours.close()
    llama_cpp.llama_sampler_free(chain)
    samplers.close()
    model.close()
