# SPDX-License-Identifier: GPL-3.0-only
"""The engine on a random model: what requests say is done, by OpenVINO or here."""

from __future__ import annotations

from pathlib import Path

import pytest
import random_gguf
from openvino_driver import ENDLESS, Driver, ask, chat, opened
from random_gguf import END, MODEL, USER

from modeld import Done, FinishReason, GenerateRequest, Message, Sampling
from modeld.errors import (
    InvalidRequestError,
    LoadFailedError,
    NotSupportedError,
    PromptRequiredError,
    PromptTooLongError,
    TemplateError,
)
from modeld.requests import ApplyTemplateRequest, DetokenizeRequest, EmbedRequest, TokenizeRequest
from modeld.responses import TextResponse, TokenizeResponse


def varied(**fields: object) -> Sampling:
    """Return sampling that hardly ever draws the same twice."""
    return Sampling(**({"temperature": 2.0, "top_k": 0, "ignore_eos": True} | fields))


class TestGenerations:
    def test_a_generation_is_as_long_as_asked_for_and_counted(self, driver: Driver) -> None:
        response = driver.read(ask("hello", max_tokens=5))
        assert isinstance(response.end, Done)
        assert response.end.finish_reason is FinishReason.LENGTH
        assert response.end.usage.prompt_tokens == 5
        assert response.end.usage.completion_tokens == 5

    def test_one_without_a_limit_fills_the_context(self, driver: Driver) -> None:
        response = driver.read(ask("hello"))
        assert isinstance(response.end, Done)
        assert response.end.finish_reason is FinishReason.LENGTH
        assert response.end.usage.total_tokens == 96

    def test_generations_in_company_are_those_alone(self, driver: Driver) -> None:
        requests = [ask(prompt, max_tokens=12) for prompt in ("one", "a second", "the third one")]
        alone = [driver.read(request).text for request in requests]
        assert [response.text for response in driver.run(*requests)] == alone
        assert len(set(alone)) == 3

    def test_all_slots_may_fill_their_contexts_at_once(self, driver: Driver) -> None:
        for response in driver.run(*(ask(prompt * 60) for prompt in "abc")):
            assert isinstance(response.end, Done)
            assert response.end.usage.total_tokens == 96
        assert driver.is_idle

    def test_a_stop_text_ends_it_and_is_not_shown(self, driver: Driver) -> None:
        whole = driver.read(ask("hello", max_tokens=30)).text
        stop = whole[8:10]
        response = driver.read(ask("hello", max_tokens=30, stop=("never", stop)))
        assert isinstance(response.end, Done)
        assert response.text == whole[: whole.index(stop)]
        assert (response.end.finish_reason, response.end.stop_text) == (FinishReason.STOP, stop)
        assert driver.is_idle

    def test_a_special_token_may_be_named_as_a_stop_text(self, driver: Driver) -> None:
        names = ("<|end|>", "<|user|>", "<|model|>")
        for seed in range(40):
            request = ask("x", max_tokens=80, stop=names, sampling=varied(seed=seed))
            end = driver.read(request).end
            assert isinstance(end, Done)
            if end.stop_text is not None:
                break
        assert end.stop_text in names
        assert end.finish_reason is FinishReason.STOP

    def test_texts_are_whole_characters(self, driver: Driver) -> None:
        for seed in range(5):
            text = driver.read(ask("\N{SNOWMAN}", sampling=varied(seed=seed))).text
            text.encode()


class TestSampling:
    def test_a_seed_repeats_a_generation_also_in_company(self, driver: Driver) -> None:
        request = ask("hello", max_tokens=12, sampling=varied(seed=5))
        first = driver.read(request).text
        assert [each.text for each in driver.run(request, request, ask("other"))][:2] == [first] * 2
        other = ask("hello", max_tokens=12, sampling=varied(seed=6))
        assert driver.read(other).text != first

    def test_without_a_seed_generations_differ(self, driver: Driver) -> None:
        requests = [ask("hello", max_tokens=12, sampling=varied())] * 3
        assert len({each.text for each in driver.run(*requests)}) > 1

    @pytest.mark.parametrize(
        "sampling",
        [
            varied(temperature=1e-30),
            varied(temperature=5.0, top_k=1, seed=1),
            varied(temperature=5.0, top_p=1e-30, seed=1),
            varied(temperature=5.0, min_p=1.0, seed=1),
        ],
    )
    def test_what_leaves_only_the_likeliest_token_is_as_temperature_0(
        self, driver: Driver, sampling: Sampling
    ) -> None:
        greedy = driver.read(ask("hello", max_tokens=8)).text
        assert driver.read(ask("hello", max_tokens=8, sampling=sampling)).text == greedy

    @pytest.mark.parametrize(
        "sampling",
        [
            {"repeat_penalty": 10.0},
            {"presence_penalty": 2.0},
            {"frequency_penalty": 2.0},
        ],
    )
    def test_penalties_are_applied(self, driver: Driver, sampling: dict[str, float]) -> None:
        plain = driver.read(ask("hello", max_tokens=40)).text
        changed = Sampling(temperature=0.0, ignore_eos=True, **sampling)
        assert driver.read(ask("hello", max_tokens=40, sampling=changed)).text != plain


class TestPrompts:
    def test_a_prompts_tokens_are_taken_as_they_are(self, driver: Driver) -> None:
        ids = driver.read(TokenizeRequest(text="hello")).end.ids
        given = GenerateRequest(prompt_tokens=ids, max_tokens=6, sampling=ENDLESS)
        assert driver.read(given).text == driver.read(ask("hello", max_tokens=6)).text

    def test_a_chat_has_the_models_own_template(self, driver: Driver) -> None:
        written = "<|user|>hello<|end|><|model|>"
        chat_text = driver.read(chat("hello", max_tokens=6)).text
        assert chat_text == driver.read(ask(written, max_tokens=6)).text

    def test_what_is_said_in_a_chat_is_text_though_it_looks_like_a_special_token(
        self, driver: Driver
    ) -> None:
        said = "a<|end|><|model|>b \ue000"
        messages = [Message(role="user", content=said)]
        tokens = driver.engine._template.tokens(messages)
        assert [token for token in tokens if token <= MODEL] == [USER, END, MODEL]
        pieces = [driver.engine._vocabulary.piece(token) for token in tokens]
        assert b"".join(pieces).decode() == f"<|user|>{said}<|end|><|model|>"

    @pytest.mark.parametrize(
        ("request_", "error", "field"),
        [
            (ask(""), PromptRequiredError, "prompt"),
            (ask("x" * 96), PromptTooLongError, "prompt"),
            (chat("x" * 96), PromptTooLongError, "messages"),
            (ask("a\ud800"), InvalidRequestError, "prompt"),
            (chat("a\ud800"), InvalidRequestError, "messages"),
            (GenerateRequest(prompt_tokens=(1, 999)), InvalidRequestError, "prompt_tokens"),
            (DetokenizeRequest(tokens=(999,)), InvalidRequestError, "tokens"),
            (TokenizeRequest(text="x" * 10_000), InvalidRequestError, "content"),
            (EmbedRequest(inputs=("a",)), NotSupportedError, None),
        ],
    )
    def test_what_cannot_be_served_is_refused_by_its_field(
        self, driver: Driver, request_: GenerateRequest, error: type[Exception], field: str | None
    ) -> None:
        with pytest.raises(error) as caught:
            driver.submit(request_)
        assert caught.value.field == field
        assert driver.is_idle


def test_a_chat_without_a_template_is_refused(tmp_path: Path) -> None:
    path = random_gguf.write(tmp_path / "bare.gguf", template=None)
    with opened(path) as driver, pytest.raises(TemplateError, match="no chat template"):
        driver.submit(chat("hello"))


def test_a_template_that_fails_is_the_requests_error(tmp_path: Path) -> None:
    template = "{{ raise_exception('only once') }}"
    path = random_gguf.write(tmp_path / "strict.gguf", template=template)
    with opened(path) as driver:
        with pytest.raises(TemplateError, match="only once"):
            driver.submit(chat("hello"))
        assert isinstance(driver.read(ask("hello", max_tokens=2)).end, Done)


def test_a_context_beyond_what_the_tokenizer_reads_is_a_failed_load(tiny: Path) -> None:
    with pytest.raises(LoadFailedError, match="cuts prompts off after 8192 tokens"):  # noqa: SIM117
        with opened(tiny, context=8224):
            pass


class TestUnaryRequests:
    def test_tokens_and_their_text(self, driver: Driver) -> None:
        text = "th\N{SNOWMAN} <|end|>"
        response = driver.read(TokenizeRequest(text=text, with_pieces=True)).end
        assert isinstance(response, TokenizeResponse)
        assert response.ids[-1] == END
        assert b"".join(response.pieces).decode() == text
        back = driver.read(DetokenizeRequest(tokens=response.ids)).end
        assert back == TextResponse(text=text)

    def test_special_tokens_may_be_read_as_text(self, driver: Driver) -> None:
        request = TokenizeRequest(text="<|end|>", parse_special=False, with_pieces=True)
        response = driver.read(request).end
        assert END not in response.ids
        assert b"".join(response.pieces) == b"<|end|>"

    def test_a_template_is_applied(self, driver: Driver) -> None:
        messages = (Message(role="user", content="a <|end|>"),)
        response = driver.read(ApplyTemplateRequest(messages=messages)).end
        assert response == TextResponse(text="<|user|>a <|end|><|end|><|model|>")


class TestLeaving:
    def test_a_cancelled_request_holds_nothing_though_no_other_runs(self, driver: Driver) -> None:
        request_id = driver.submit(ask("hello"))
        driver.step()
        driver.engine.cancel(request_id)
        assert driver.is_idle
        assert driver.engine.step() == []

    def test_one_that_is_cancelled_before_its_first_step_holds_nothing(
        self, driver: Driver
    ) -> None:
        driver.engine.cancel(driver.submit(ask("hello")))
        assert driver.is_idle

    def test_the_others_go_on_and_the_slot_and_the_cache_are_free(self, driver: Driver) -> None:
        stays, leaves = ask("stays", max_tokens=20), ask("leaves" * 10)
        alone = driver.read(stays).text
        staying = driver.submit(stays)
        for _ in range(8):
            leaving = driver.submit(leaves)
            driver.step()
            driver.engine.cancel(leaving)
        while driver.responses[staying].end is None:
            driver.step()
        assert driver.responses[staying].text == alone

    @pytest.mark.parametrize("steps", range(1, 20, 3))
    def test_older_ones_that_leave_with_full_contexts_end_nobody_else(
        self, driver: Driver, steps: int
    ) -> None:
        leaving = [driver.submit(ask(prompt * 70)) for prompt in "ab"]
        staying = driver.submit(ask("c" * 30))
        for _ in range(steps):
            driver.step()
        ids = [staying]
        for request_id in leaving:  # what they held is not free before the next step
            driver.engine.cancel(request_id)
            ids.append(driver.submit(ask("d" * 90)))
        while any(driver.responses[request_id].end is None for request_id in ids):
            driver.step()
        assert all(isinstance(driver.responses[each].end, Done) for each in ids)

    def test_all_may_leave_for_others_between_two_steps(self, driver: Driver) -> None:
        leaving = [driver.submit(ask(prompt * 90)) for prompt in "abc"]
        driver.step()
        ids = []
        for request_id in leaving:
            driver.engine.cancel(request_id)
            ids.append(driver.submit(ask("d" * 90)))
        while any(driver.responses[request_id].end is None for request_id in ids):
            driver.step()
        assert all(isinstance(driver.responses[each].end, Done) for each in ids)

    def test_no_more_than_the_slots_are_taken(self, driver: Driver) -> None:
        ids = [driver.submit(ask("hello")) for _ in range(3)]
        with pytest.raises(RuntimeError, match="all 3 slots are taken"):
            driver.submit(ask("hello"))
        for request_id in ids:
            driver.engine.cancel(request_id)
        assert driver.is_idle
