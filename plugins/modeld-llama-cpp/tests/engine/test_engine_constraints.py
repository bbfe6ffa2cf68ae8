# SPDX-License-Identifier: GPL-3.0-only
"""Answers that conform to something, beside others and with all that a request can ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver, Generation, ask, is_clean
from modeld_llama_cpp.sizing.estimate import CONSTRAINT_BYTES_PER_TOKEN
from tiny_gguf import circle, token_of, write_scripted
from tiny_recurrent import write_mamba

from modeld import FinishReason, Sampling
from modeld.errors import InvalidRequestError

Start = Callable[..., Driver]

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "green"]}, "size": {"type": "integer"}},
    "required": ["colour", "size"],
    "additionalProperties": False,
}
BANNED_X = Sampling(temperature=0.0, logit_bias=((token_of(b"x"), None),))


def decodes(driver: Driver) -> int:
    """How many batches an engine has computed."""
    return driver.computed  # type: ignore[attr-defined]


def counting(driver: Driver) -> Driver:
    """Let a driver count the batches of its engine."""
    compute = driver.engine._runner.compute
    driver.computed = 0  # type: ignore[attr-defined]

    def count(parts: object) -> object:
        driver.computed += 1  # type: ignore[attr-defined]
        return compute(parts)  # type: ignore[arg-type]

    driver.engine._runner.compute = count  # type: ignore[method-assign, assignment]
    return driver


def tokens_of(generation: Generation) -> int:
    return generation.end.usage.completion_tokens  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "conforms"),
    [
        ({"choice": ("yes", "no", "perhaps")}, r"yes|no|perhaps"),
        ({"regex": "[a-c]{3}-[0-9]{2}"}, r"[a-c]{3}-[0-9]{2}"),
        ({"grammar": 'root ::= "<" [a-z]{2,4} ">"'}, r"<[a-z]{2,4}>"),
        ({"lark": 'start: "<" WORD ">"\nWORD: /[a-z]{2,4}/'}, r"<[a-z]{2,4}>"),
    ],
)
def test_a_generation_conforms(
    fields: dict[str, object], conforms: str, random: Path, start: Start
) -> None:
    driver = start(random)
    for seed in range(5):
        wild = Sampling(temperature=3.0, seed=seed)
        generation = driver.read(ask("abc", max_tokens=50, sampling=wild, **fields))
        assert re.fullmatch(conforms, generation.text)
        assert generation.reason is FinishReason.STOP
    assert is_clean(driver)


def test_a_generation_is_json_of_a_schema(random: Path, start: Start) -> None:
    driver = start(random, slots=4)
    generations = driver.run(
        *(
            ask("abc", max_tokens=80, sampling=Sampling(seed=seed), json_schema=SCHEMA)
            for seed in range(4)
        )
    )
    for generation in generations:
        read = json.loads(generation.text)
        assert read["colour"] in {"red", "green"}
        assert isinstance(read["size"], int)


def test_what_must_come_takes_no_step_of_its_own(random: Path, start: Start) -> None:
    driver = counting(start(random))
    generation = driver.read(ask("abc", max_tokens=50, regex="[a-d]: this text follows[a-d]!"))
    assert generation.text[1:-2] == ": this text follows"
    assert tokens_of(generation) == len(generation.text)
    assert decodes(driver) == 2, "the prompt, and what comes between the two letters"


def test_what_any_generation_begins_with_is_computed_with_the_prompt(
    random: Path, start: Start
) -> None:
    driver = counting(start(random))
    generation = driver.read(ask("abc", max_tokens=50, regex="it is [ab]"))
    assert re.fullmatch("it is [ab]", generation.text)
    assert decodes(driver) == 1
    assert generation.end.usage.prompt_tokens == len("abc") + 1


def test_a_generation_that_can_only_be_one_text_is_not_computed(random: Path, start: Start) -> None:
    driver = counting(start(random))
    generation = driver.read(ask("abc", choice=("only this",)))
    assert generation.text == "only this"
    assert (generation.reason, tokens_of(generation)) == (FinishReason.STOP, len("only this"))
    assert decodes(driver) == 0
    assert is_clean(driver)


def test_a_generation_ends_where_nothing_can_follow(random: Path, start: Start) -> None:
    generation = start(random).read(ask("abc", max_tokens=3, regex="[a-z]{3}"))
    assert (len(generation.text), tokens_of(generation)) == (3, 3)
    assert generation.reason is FinishReason.STOP, "it is complete, though there are no more tokens"


@pytest.mark.parametrize("most", range(1, 12))
def test_max_tokens_cuts_what_must_come(most: int, random: Path, start: Start) -> None:
    generation = start(random).read(ask("abc", max_tokens=most, regex="[ab]cdefghij[kl]mn"))
    assert len(generation.text) == tokens_of(generation) == most
    assert generation.reason is FinishReason.LENGTH


@pytest.mark.parametrize("stop", ["cdef", "bc", "j"])
def test_a_stop_text_ends_what_must_come(stop: str, scripted: Path, start: Start) -> None:
    driver = start(scripted)
    whole = "abcdefghijk"
    generation = driver.read(ask("z", max_tokens=50, regex="[ab]bcdefghij[kl]", stop=(stop,)))
    assert generation.text == whole[: whole.index(stop)]
    assert generation.reason is FinishReason.STOP
    assert is_clean(driver)


def test_with_probabilities_every_token_has_its_own(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    fields = {"max_tokens": 40, "regex": "[a-d]: text[a-d]"}
    generation = driver.read(ask("abc", logprobs=2, **fields))
    assert len(generation.logprobs) == tokens_of(generation)
    shown = b"".join(one.chosen.piece for one in generation.logprobs).decode()
    assert shown == generation.text == driver.read(ask("abc", **fields)).text


def test_what_must_come_is_seen_by_penalties(scripted: Path, start: Start) -> None:
    punished = Sampling(temperature=0.0, presence_penalty=2.0, logit_bias=((token_of(b"b"), 3.0),))
    generation = start(scripted).read(ask("z", max_tokens=9, regex="[yz]bb[bc]", sampling=punished))
    assert generation.text.endswith("bbc"), "it is likelier, but it was there"


def test_a_ban_holds_against_what_must_come(random: Path, start: Start) -> None:
    driver = start(random)
    generation = driver.read(ask("abc", max_tokens=9, regex="[ab]cx", sampling=BANNED_X))
    assert (generation.end.code, generation.end.field) == (InvalidRequestError.code, "regex")
    assert generation.text[1:] == "c"
    assert is_clean(driver)


def test_draft_tokens_change_nothing_but_the_number_of_steps(tmp_path: Path, start: Start) -> None:
    path = write_scripted(tmp_path / "m.gguf", circle(b"abcdef"))
    fields = {"max_tokens": 60, "regex": "([a-f]{6}){4}-[a-f]+"}
    plain, drafting = (
        counting(start(path, context=512, draft_tokens=0)),
        counting(start(path, context=512, draft_tokens=8)),
    )
    asked = ask("abcdef" * 5, **fields)
    assert plain.read(asked).text == drafting.read(asked).text
    assert decodes(drafting) < decodes(plain)
    assert plain.read(asked).end == drafting.read(asked).end
    assert is_clean(drafting)


def test_draft_tokens_and_what_must_come_go_together(scripted: Path, start: Start) -> None:
    plain, drafting = (start(scripted, slots=3, draft_tokens=most) for most in (0, 6))
    form = r"(\[[a-c][b-d]: text [a-c]\] ){3,9}"
    requests = [
        ask("[ab: text b] [cd: text a] " * 2, max_tokens=most, regex=form) for most in (40, 55, 70)
    ]
    wanted = [(generation.text, generation.end) for generation in plain.run(*requests)]
    assert [(generation.text, generation.end) for generation in drafting.run(*requests)] == wanted
    assert is_clean(drafting)


def test_a_long_text_that_must_come_holds_up_no_other(random: Path, start: Start) -> None:
    driver = start(random, slots=2, batch=32, ubatch=32, context=1024)
    free = start(random).read(ask("abc", max_tokens=6)).text
    text = "x" * 300
    bound, beside = driver.run(
        ask("abc", max_tokens=400, regex=f"[ab]{text}[ab]"), ask("abc", max_tokens=6)
    )
    assert bound.text[1:-1] == text
    assert beside.text == free


def test_many_at_once_are_each_their_own(random: Path, start: Start) -> None:
    driver = start(random, slots=16, context=2048)
    choices = [(f"{letter}1", f"{letter}2") for letter in "abcdefghijklmnop"]
    generations = driver.run(*(ask("abc", max_tokens=9, choice=choice) for choice in choices))
    for generation, choice in zip(generations, choices, strict=True):
        assert generation.text in choice


def test_a_cancelled_one_leaves_nothing(random: Path, start: Start) -> None:
    driver = start(random)
    for steps in range(4):
        request_id = driver.submit(ask("abc", max_tokens=90, regex="[a-d: ]{80}"))
        for _ in range(steps):
            driver.step()
        driver.engine.cancel(request_id)
    driver.generations.clear()
    assert driver.read(ask("abc", max_tokens=3)).text
    assert is_clean(driver)


def test_it_goes_on_from_a_cached_beginning(random: Path, start: Start) -> None:
    driver = start(random)
    prompt = "a prompt that is long enough to be kept "
    asked = ask(prompt, max_tokens=40, json_schema=SCHEMA)
    first, second = driver.read(asked), driver.read(asked)
    assert second.text == first.text
    assert second.cached > 0


def test_a_recurrent_model_follows_a_constraint(tmp_path: Path, start: Start) -> None:
    driver = start(write_mamba(tmp_path / "mamba.gguf"), slots=2)
    asked = ask("one", max_tokens=60, regex="[a-d]: this text follows[a-d]!")
    for generation in driver.run(asked, asked):
        assert re.fullmatch("[a-d]: this text follows[a-d]!", generation.text)


def test_a_constraint_that_comes_first_waits_for_the_vocabulary(random: Path, start: Start) -> None:
    driver = start(random)
    bound = driver.submit(ask("abc", choice=("yes", "no")))
    free = driver.submit(ask("abc", max_tokens=4))
    generations = driver.finish(bound, free)
    assert generations[0].text in {"yes", "no"}
    assert len(generations[1].text) == 4


def test_what_constraints_take_counts_in_what_is_held(random: Path, start: Start) -> None:
    engine = start(random, cache_tokens=0).engine
    tree = CONSTRAINT_BYTES_PER_TOKEN * engine._vocabulary.size
    assert engine.held_bytes == engine._model.held_bytes + tree


@pytest.mark.parametrize("draft_tokens", [0, 5])
def test_a_constraint_that_allows_all_changes_nothing(
    draft_tokens: int, random: Path, start: Start
) -> None:
    driver = start(random, draft_tokens=draft_tokens)
    for seed in range(4):
        sampling = Sampling(seed=seed, repeat_penalty=1.1, temperature=1.5)
        fields = {"max_tokens": 60, "sampling": sampling, "cache_prompt": False}
        free = driver.read(ask("abcabcabc", **fields))
        bound = driver.read(ask("abcabcabc", regex=r"[\s\S]*", **fields))
        assert (bound.text, bound.end) == (free.text, free.end)


def test_one_that_was_preempted_goes_on_where_it_was(scripted: Path, start: Start) -> None:
    requests = [
        ask(f"{number}", max_tokens=600, regex="([a-d]: this text follows ){22}")
        for number in range(2)
    ]
    alone = [start(scripted, context=1024, slots=2).read(one).text for one in requests]
    driver = start(scripted, context=768, slots=2)
    preempted = 0
    preempt = driver.engine._scheduler.preempt

    def count() -> None:
        nonlocal preempted
        preempted += 1
        preempt()

    driver.engine._scheduler.preempt = count  # type: ignore[method-assign]
    ids = []
    for request in requests:  # neither goes ahead of the other
        ids.append(driver.submit(request))
        while ids[-1] not in driver.engine._generations:
            driver.step()
        driver.engine.pause(ids[-1])
    for request_id in ids:
        driver.engine.resume(request_id)
    assert [generation.text for generation in driver.finish(*ids)] == alone
    assert preempted
    assert is_clean(driver)
