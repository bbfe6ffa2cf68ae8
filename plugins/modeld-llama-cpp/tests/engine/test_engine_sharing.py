# SPDX-License-Identifier: GPL-3.0-only
"""What the engine takes from its cache, drafts and saves: no generation may differ by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import llama_cpp
import pytest
from driver import PROMPTS, Driver, ask, is_clean
from modeld_llama_cpp.engine import runner as runners
from tiny_gguf import circle, token_of, write_scripted

from modeld import GenerateRequest, Sampling
from modeld.errors import InvalidRequestError, NotSupportedError
from modeld.requests import ApplyTemplateRequest, DetokenizeRequest, EmbedRequest, TokenizeRequest
from modeld.responses import TextResponse, TokenizeResponse

Start = Callable[..., Driver]
COMMON = "The same beginning of many prompts, long enough to be worth a wait. "


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each call of llama_decode was given."""
    sizes: list[int] = []
    decode = llama_cpp.llama_decode

    def counting(context: int, batch: llama_cpp.llama_batch) -> int:
        sizes.append(batch.n_tokens)
        return decode(context, batch)

    monkeypatch.setattr(runners.llama_cpp, "llama_decode", counting)
    return sizes


def test_the_second_turn_of_a_chat_computes_only_what_is_new(
    tmp_path: Path, start: Start, computed: list[int]
) -> None:
    driver = start(write_scripted(tmp_path / "m.gguf", circle(b"abcdef")), context=512)
    first = driver.read(ask("abcdef" * 20, max_tokens=20))
    computed.clear()
    second = driver.read(ask("abcdef" * 20 + first.text + "and then", max_tokens=1))
    new = len("and then") + 1  # the first turn's last token was chosen and never computed
    assert second.end.usage.prompt_tokens - second.cached == new
    assert sum(computed) == new


def test_generations_are_the_same_with_and_without_a_cache(random: Path, start: Start) -> None:
    plain = start(random, context=1024, cache_tokens=0)
    alone = [plain.read(ask(prompt, max_tokens=24)) for prompt in PROMPTS]
    assert [generation.cached for generation in alone] == [0] * len(PROMPTS)
    sharing = start(random, context=1024)
    for _ in range(3):
        generations = sharing.run(*[ask(prompt, max_tokens=24) for prompt in PROMPTS])
        assert [generation.text for generation in generations] == [
            generation.text for generation in alone
        ]
    assert generations[1].cached, "the longest prompt"
    for prompt, expected in zip(PROMPTS, alone, strict=True):
        together = sharing.run(*[ask(prompt, max_tokens=24)] * 4)
        assert {generation.text for generation in together} == {expected.text}
    assert is_clean(sharing)


def test_prompts_that_arrive_together_share_what_they_begin_with(
    random: Path, start: Start, computed: list[int]
) -> None:
    driver = start(random, context=1024)
    generations = driver.run(*[ask(COMMON + str(number), max_tokens=2) for number in range(4)])
    assert [generation.cached for generation in generations] == [0] + [len(COMMON) + 1] * 3
    assert sum(computed) < len(COMMON) + 1 + 4 * 3


def test_a_salt_hides_a_prompt_from_others(random: Path, start: Start) -> None:
    driver = start(random, context=1024)
    assert driver.read(ask(COMMON, max_tokens=1, cache_salt="a")).cached == 0
    assert driver.read(ask(COMMON, max_tokens=1, cache_salt="b")).cached == 0
    assert driver.read(ask(COMMON, max_tokens=1)).cached == 0
    assert driver.read(ask(COMMON, max_tokens=1, cache_salt="a")).cached == len(COMMON)


def test_a_cache_that_is_full_makes_room(random: Path, start: Start) -> None:
    driver = start(random, context=256)
    for number in range(12):
        prompt = f"{number} " * 60
        assert driver.read(ask(prompt[:100], max_tokens=30)).end is not None
        assert is_clean(driver)


def test_drafts_change_no_generation_and_save_steps(
    tmp_path: Path, start: Start, computed: list[int]
) -> None:
    path = write_scripted(tmp_path / "m.gguf", circle(b"abcdef"))
    plain = start(path, draft_tokens=0).read(ask("abcdefabcdef", max_tokens=60))
    steps = len(computed)
    computed.clear()
    drafting = start(path, draft_tokens=8)
    generation = drafting.read(ask("abcdefabcdef", max_tokens=60))
    assert generation.text == plain.text
    assert generation.end.usage.completion_tokens == 60
    assert len(computed) < steps / 4
    assert is_clean(drafting)


def test_wrong_drafts_leave_nothing_behind(random: Path, start: Start) -> None:
    plain, drafting = (start(random, context=512, draft_tokens=most) for most in (0, 4))
    for tokens in range(1, 40):  # anything pays where more tokens take less time
        drafting.engine._scheduler.drafting.costs.note(tokens, 1.0 / tokens)
    prompts = [prompt + prompt for prompt in PROMPTS]
    alone = [plain.read(ask(prompt, max_tokens=40)).text for prompt in prompts]
    assert [one.text for one in drafting.run(*[ask(p, max_tokens=40) for p in prompts])] == alone
    assert is_clean(drafting)


def test_drafts_take_no_chance_from_what_is_chosen_by_chance(
    tmp_path: Path, start: Start, computed: list[int]
) -> None:
    path = write_scripted(tmp_path / "m.gguf", circle(b"abcdef"))
    plain, drafting = (start(path, context=512, draft_tokens=most) for most in (0, 4))
    for tokens in range(1, 40):  # anything pays where more tokens take less time
        drafting.engine._scheduler.drafting.costs.note(tokens, 1.0 / tokens)
    astray = 0
    for seed in range(12):
        wild = Sampling(seed=seed, temperature=3.3, top_k=0, top_p=1.0, min_p=0.0, ignore_eos=True)
        asked = ask("abcdefabcdef", max_tokens=40, sampling=wild)
        wanted = plain.read(asked).text
        astray += wanted not in "abcdef" * 8
        computed.clear()
        assert drafting.read(asked).text == wanted
        assert len(computed) < 40
    assert 0 < astray < 12
    assert is_clean(drafting)


def test_no_more_is_saved_than_the_context_has_or_what_is_said(random: Path, start: Start) -> None:
    for options, most in (({"context": 128}, 2), ({"context": 120}, 1), ({"cache_tokens": 200}, 3)):
        driver = start(random, **options)
        for number in range(3):
            driver.read(ask(f"{number}" * 60, max_tokens=1))
        assert is_clean(driver)  # what rests is saved by that
        assert [len(one.tokens) for one in driver.engine._prefix_cache] == [61] * most


# Ended requests that rest


def test_the_next_request_goes_on_from_the_last_one_however_short_what_they_share_is(
    random: Path, start: Start, computed: list[int]
) -> None:
    driver = start(random, context=512)
    alone = start(random, context=512, cache_tokens=0).read(ask("abcxyz", max_tokens=8))
    driver.read(ask("abcdef", max_tokens=8))
    computed.clear()
    second = driver.read(ask("abcxyz", max_tokens=8))
    assert second.cached == len("abc") + 1
    assert computed[0] == len("xyz")
    assert second.text == alone.text
    assert is_clean(driver)


def test_a_chat_goes_on_in_its_cells_without_being_restored(
    random: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = start(random, context=2048, slots=1)
    monkeypatch.setattr(driver.engine._runner, "restore", lambda *_: pytest.fail("restored"))
    prompt = "a turn of a chat. " * 40  # more than may rest unsaved
    first = driver.read(ask(prompt, max_tokens=8))
    assert [len(one.tokens) for one in driver.engine._prefix_cache] == [1 + len(prompt) + 7]
    second = driver.read(ask(prompt + first.text + "more", max_tokens=8))
    assert second.cached == 1 + len(prompt) + 7
    assert is_clean(driver)


def test_what_rests_is_saved_when_its_only_id_is_wanted(random: Path, start: Start) -> None:
    driver = start(random, context=512, slots=1)
    driver.read(ask(COMMON, max_tokens=4))
    assert list(driver.engine._prefix_cache) == []
    driver.read(ask(COMMON[:5] + "another", max_tokens=4))
    assert [len(one.tokens) for one in driver.engine._prefix_cache] == [len(COMMON) + 4]
    assert driver.read(ask(COMMON, max_tokens=4)).cached == len(COMMON)
    assert is_clean(driver)


def test_nobody_rests_where_nothing_is_cached_or_a_request_is_kept_to_itself(
    random: Path, start: Start
) -> None:
    plain, driver = start(random, context=512, cache_tokens=0), start(random, context=512)
    for engine, fields in ((plain, {}), (driver, {"cache_prompt": False})):
        engine.read(ask(COMMON, max_tokens=4, **fields))
        assert engine.engine._scheduler.cells.used == 0
        assert engine.read(ask(COMMON, max_tokens=4, **fields)).cached == 0


# A fault in the middle of a draft


def test_a_grammar_that_leaves_nothing_in_the_middle_of_a_draft_ends_its_request_only(
    tmp_path: Path, start: Start
) -> None:
    path = write_scripted(tmp_path / "m.gguf", circle(b"abcdef"))
    driver = start(path, draft_tokens=8, context=512)
    beside = driver.submit(ask("abcdef" * 5, max_tokens=100))
    stuck = driver.submit(
        ask(
            "abcdef" * 5,
            max_tokens=40,
            grammar='root ::= "abcdefabcdef" "x"',
            sampling=Sampling(temperature=0.0, logit_bias=((token_of(b"x"), None),)),
        )
    )
    generation = driver.finish(stuck)[0]
    assert (generation.end.code, generation.end.field) == (InvalidRequestError.code, "grammar")
    assert generation.text == "abcdefabcdef"
    assert driver.read(ask("abcdef" * 5 + "abcdef", max_tokens=7)).text == "abcdefa"
    driver.finish(beside)
    assert is_clean(driver)


# Probabilities, grammars, unary requests


def test_every_token_of_a_generation_has_its_probability(random: Path, start: Start) -> None:
    driver = start(random)
    generation = driver.read(ask("abc", max_tokens=12, logprobs=3, stop=("q",)))
    assert len(generation.logprobs) == generation.end.usage.completion_tokens
    for one in generation.logprobs:
        assert one.chosen == one.top[0], "the generation is greedy"
        assert len(one.top) == 3
    shown = b"".join(one.chosen.piece for one in generation.logprobs).decode(errors="replace")
    assert shown.startswith(generation.text)


def test_a_generation_without_probabilities_has_none(random: Path, start: Start) -> None:
    assert start(random).read(ask("abc", max_tokens=3)).logprobs == []


def test_a_grammar_binds_one_generation_and_not_the_one_beside_it(
    random: Path, start: Start
) -> None:
    driver = start(random)
    free = driver.read(ask("abc", max_tokens=6)).text
    grammar = 'root ::= ("yes" | "no") "!"'
    bound, beside = driver.run(ask("abc", max_tokens=6, grammar=grammar), ask("abc", max_tokens=6))
    assert bound.text in {"yes!", "no!"}
    assert beside.text == free


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"grammar": "root ::= (("}, "grammar"),
        ({"regex": "(a"}, "regex"),
        ({"lark": "start: nothing"}, "lark"),
        ({"json_schema": {"type": "strin"}}, "json_schema"),
        ({"json_schema": {"$ref": "https://example.org/x"}}, "json_schema"),
    ],
)
def test_a_bad_grammar_fails_its_request_only(
    random: Path, start: Start, fields: dict[str, object], field: str
) -> None:
    driver = start(random)
    bad, good = driver.run(ask("abc", max_tokens=5, **fields), ask("abc", max_tokens=5))
    assert (bad.end.code, bad.end.field) == (InvalidRequestError.code, field)
    assert len(good.text) == 5
    assert is_clean(driver)


def test_unary_requests_are_served_beside_a_running_generation(
    scripted: Path, start: Start
) -> None:
    driver = start(scripted)
    running = driver.submit(ask("a", max_tokens=20))
    tokens = driver.ask(TokenizeRequest(text="abc", with_pieces=True))
    assert isinstance(tokens, TokenizeResponse)
    assert b"".join(tokens.pieces).endswith(b"abc")
    assert driver.ask(DetokenizeRequest(tokens=tokens.ids[1:])) == TextResponse(text="abc")
    failed = driver.ask(ApplyTemplateRequest(messages=()))
    assert failed.field == "messages"
    assert driver.finish(running)[0].text == "bcdefghijklmnopqrstu"


def test_a_unary_request_can_be_cancelled(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    driver.engine.submit(7, TokenizeRequest(text="abc" * 1000))
    driver.engine.cancel(7)
    assert driver.engine.step() == []
    assert is_clean(driver)


def test_a_model_that_writes_says_how_to_get_vectors(scripted: Path, start: Start) -> None:
    with pytest.raises(NotSupportedError, match="embeddings: true"):
        start(scripted).engine.submit(1, EmbedRequest(inputs=("a",)))


def test_a_request_takes_a_slot_like_a_unary_one(scripted: Path, start: Start) -> None:
    driver = start(scripted, slots=1)
    driver.engine.submit(1, TokenizeRequest(text="abc"))
    with pytest.raises(RuntimeError, match="all 1 slots are taken"):
        driver.engine.submit(2, GenerateRequest(prompt="a"))
