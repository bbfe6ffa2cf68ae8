# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import llama_cpp
import psutil
import pytest
from driver import Driver, ask, chat, open_driver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modeld_llama_cpp import runner as runners
from modeld_llama_cpp import sequence
from test_runner import positions
from tiny_gguf import EOS, SILENT, circle, write_random, write_scripted

from modeld import Done, Failed, FinishReason, GenerateRequest, Sampling, Usage
from modeld.errors import InvalidRequestError, PromptRequiredError, PromptTooLongError

Start = Callable[..., Driver]


def is_clean(driver: Driver) -> bool:
    """Whether nothing of any request is left."""
    engine = driver.engine
    engine._runner.edit(engine._scheduler.plan().edits)
    return (
        set(positions(driver)) == {-1}
        and engine._scheduler.cells.used == 0
        and not engine._scheduler.busy
        and not engine._answers
        and not engine._preparing
    )


# How an answer ends


def test_an_answer_ends_where_the_model_ends_it(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    answer = driver.read(ask("uvw"))
    assert answer.tokens == ["x", "y", "z"]
    usage = Usage(prompt_tokens=4, completion_tokens=4)
    assert answer.end == Done(finish_reason=FinishReason.STOP, usage=usage)
    assert is_clean(driver)


def test_an_answer_may_be_empty(scripted: Path, start: Start) -> None:
    answer = start(scripted).read(ask("z"))
    assert (answer.tokens, answer.reason) == ([], FinishReason.STOP)
    assert answer.end.usage.completion_tokens == 1


def test_an_answer_has_at_most_max_tokens(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    for count in (1, 5):
        answer = driver.read(ask("a", max_tokens=count))
        assert (answer.text, answer.reason) == ("bcdef"[:count], FinishReason.LENGTH)
        assert answer.end.usage.completion_tokens == count
    assert is_clean(driver)


def test_an_answer_that_ends_with_its_last_token_ended_by_itself(
    scripted: Path, start: Start
) -> None:
    answer = start(scripted).read(ask("y", max_tokens=2))
    assert (answer.text, answer.reason) == ("z", FinishReason.STOP)


@pytest.mark.parametrize("max_tokens", [None, 2**62])
def test_an_answer_ends_with_the_context(
    max_tokens: int | None, random: Path, start: Start
) -> None:
    driver = start(random, context=40)
    answer = driver.read(ask("a" * 9, max_tokens=max_tokens))
    assert answer.reason is FinishReason.LENGTH
    assert answer.end.usage == Usage(prompt_tokens=10, completion_tokens=30)
    assert is_clean(driver)


def test_a_prompt_that_leaves_one_place_gets_one_token(scripted: Path, start: Start) -> None:
    answer = start(scripted, context=40).read(ask("a" * 38))
    assert (answer.text, answer.reason) == ("b", FinishReason.LENGTH)


def test_a_stop_string_ends_an_answer_and_is_not_shown(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    answer = driver.read(ask("a", stop=("fgh", "zz")))
    assert (answer.text, answer.reason) == ("bcde", FinishReason.STOP)
    assert answer.end.usage.completion_tokens == 7
    assert is_clean(driver)


def test_a_stop_string_may_be_the_very_first_token(scripted: Path, start: Start) -> None:
    answer = start(scripted).read(ask("a", stop=("b",)))
    assert (answer.tokens, answer.reason) == ([], FinishReason.STOP)


def test_the_beginning_of_a_stop_string_at_the_end_is_shown(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    assert driver.read(ask("w", stop=("yz!",))).text == "xyz"
    assert driver.read(ask("a", stop=("cde!",), max_tokens=3)).text == "bcd"


def test_characters_are_never_cut(tmp_path: Path, start: Start) -> None:
    text = "€é\U0001f600"
    driver = start(write_scripted(tmp_path / "m.gguf", circle(text.encode())))
    answer = driver.read(ask(text, max_tokens=9 * 3))
    assert answer.tokens == list(text) * 3


def test_a_character_that_the_length_cuts_is_replaced(tmp_path: Path, start: Start) -> None:
    driver = start(write_scripted(tmp_path / "m.gguf", circle("é€".encode())))
    assert driver.read(ask("€", max_tokens=3)).text == "é\ufffd"


def test_special_tokens_are_not_shown(tmp_path: Path, start: Start) -> None:
    script = {b"a": SILENT, SILENT: b"b", b"b": EOS}
    answer = start(write_scripted(tmp_path / "m.gguf", script)).read(ask("a"))
    assert answer.tokens == ["b"]
    assert answer.end.usage.completion_tokens == 3


# What is refused


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
        (ask("a", max_tokens=0), InvalidRequestError, "max_tokens"),
        (ask("a", max_tokens=-5), InvalidRequestError, "max_tokens"),
        (ask("a", stop=("x", "")), InvalidRequestError, "stop"),
        (ask("a", sampling=Sampling(top_p=float("nan"))), InvalidRequestError, "top_p"),
        (ask("\udcff"), InvalidRequestError, "prompt"),
        (GenerateRequest(), PromptRequiredError, "prompt"),
        (ask("a" * 200), PromptTooLongError, "prompt"),
    ],
)
def test_a_bad_request_is_refused_and_leaves_nothing(
    request_: GenerateRequest, error: type[Exception], field: str, scripted: Path, start: Start
) -> None:
    driver = start(scripted, context=100)
    with pytest.raises(error) as caught:
        driver.submit(request_)
    assert caught.value.field == field
    assert is_clean(driver)


def test_a_long_prompt_that_does_not_fit_fails_in_a_step(scripted: Path, start: Start) -> None:
    driver = start(scripted, context=100)
    answer = driver.read(ask("a" * 30_000))
    assert isinstance(answer.end, Failed)
    assert answer.end.code == "prompt_too_long"
    assert "30001 tokens and the context 100" in answer.end.message
    assert is_clean(driver)


def test_more_requests_than_slots_are_the_hosts_fault(scripted: Path, start: Start) -> None:
    driver = start(scripted, slots=2)
    for _ in range(2):
        driver.submit(ask("a"))
    with pytest.raises(RuntimeError, match="all 2 slots are taken"):
        driver.submit(ask("a"))
    driver.finish(0, 1)
    assert driver.read(ask("y")).text == "z"


# Several at once


def test_all_slots_answer_together(scripted: Path, start: Start) -> None:
    driver = start(scripted, slots=8)
    answers = driver.run(*[ask(letter) for letter in "abcdefgh"])
    assert [answer.text for answer in answers] == [
        "abcdefghijklmnopqrstuvwxyz"[n:] for n in range(1, 9)
    ]
    assert is_clean(driver)


def test_a_long_prompt_does_not_stop_running_answers(random: Path, start: Start) -> None:
    driver = start(random, ubatch=16)
    runs = driver.submit(ask("a", max_tokens=200))
    driver.step()
    reads = driver.submit(ask("b" * 300, max_tokens=1))
    while driver.answers[reads].end is None:
        before = len(driver.answers[runs].tokens)
        driver.step()
        assert len(driver.answers[runs].tokens) == before + 1


PROMPTS = ("one", "a much longer prompt than the others have, " * 4, "x", "the third of them")


@pytest.fixture(scope="module")
def alone(random: Path) -> list[str]:
    """What each of the prompts gets when it is alone."""
    driver = open_driver(random)
    texts = [driver.read(ask(prompt, max_tokens=24)).text for prompt in PROMPTS]
    driver.engine.close()
    assert len(set(texts)) == len(texts)
    return texts


@pytest.mark.parametrize("ubatch", [1, 5, 64, 512])
@pytest.mark.parametrize("apart", [0, 3, 15])
def test_a_greedy_answer_does_not_depend_on_its_company(
    ubatch: int, apart: int, alone: list[str], random: Path, start: Start
) -> None:
    driver = start(random, ubatch=ubatch)
    for prompt in PROMPTS:
        driver.submit(ask(prompt, max_tokens=24))
        for _ in range(apart):
            driver.step()
    assert [answer.text for answer in driver.finish(*range(4))] == alone
    assert is_clean(driver)


def test_answers_that_had_to_give_way_come_out_whole(
    alone: list[str], random: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = partial(sequence.Sequence, room=1)
    monkeypatch.setattr("modeld_llama_cpp.engine.TokenSequence", hasty)
    driver = start(random, context=256)
    sent_back = 0
    ids = [driver.submit(ask(prompt, max_tokens=24)) for prompt in PROMPTS]
    while any(driver.answers[request_id].end is None for request_id in ids):
        before = len(driver.engine._scheduler._waiting)
        driver.step()
        sent_back += len(driver.engine._scheduler._waiting) > before
    assert sent_back
    assert [answer.text for answer in driver.finish(*ids)] == alone
    assert is_clean(driver)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(["ask", "step", "cancel"]), st.integers(0, 3))))
def test_whatever_comes_and_goes_answers_are_whole_and_nothing_is_left(
    alone: list[str], shared: Driver, todo: list[tuple[str, int]]
) -> None:
    running: dict[int, int] = {}
    for what, number in todo:
        if what == "ask" and len(running) < shared.engine.slots:
            running[shared.submit(ask(PROMPTS[number], max_tokens=24))] = number
        elif what == "cancel" and running:
            request_id = sorted(running)[number % len(running)]
            del running[request_id]
            shared.engine.cancel(request_id)
        elif what == "step":
            for _ in range(1 + number**2):
                shared.step()
        running = {key: n for key, n in running.items() if shared.answers[key].end is None}
    answers = shared.finish(*running)
    assert [answer.text for answer in answers] == [alone[n] for n in running.values()]
    assert is_clean(shared)


@pytest.fixture
def shared(random: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """An engine with little room, which sends requests back now and then."""
    hasty = partial(sequence.Sequence, room=1)
    monkeypatch.setattr("modeld_llama_cpp.engine.TokenSequence", hasty)
    return start(random, context=256, ubatch=32)


def test_sampled_answers_with_a_seed_do_not_depend_on_their_company(
    random: Path, start: Start
) -> None:
    driver = start(random)
    wild = Sampling(temperature=3.0, top_k=0, top_p=1.0, min_p=0.0, seed=5)
    request = ask("hello", max_tokens=20, sampling=wild)
    alone = driver.read(request).text
    first, *_ = driver.run(request, ask("other", max_tokens=30), ask("third", max_tokens=60))
    assert first.text == alone


# Cancellation


def test_a_cancelled_answer_frees_its_place_at_once(scripted: Path, start: Start) -> None:
    driver = start(scripted, slots=1)
    cancelled = driver.submit(ask("a"))
    driver.step()
    driver.engine.cancel(cancelled)
    assert is_clean(driver)
    assert driver.read(ask("x")).text == "yz"
    assert driver.answers[cancelled].tokens == ["b"]


def test_a_cancelled_prompt_frees_its_place_at_once(random: Path, start: Start) -> None:
    driver = start(random, ubatch=8)
    cancelled = driver.submit(ask("a" * 500))
    driver.step()
    assert positions(driver)[0] == 7
    driver.engine.cancel(cancelled)
    assert is_clean(driver)


def test_a_request_that_waits_for_cells_can_be_cancelled(random: Path, start: Start) -> None:
    driver = start(random, context=300)
    runs = driver.submit(ask("a" * 200, max_tokens=20))
    waits = driver.submit(ask("b" * 200, max_tokens=20))
    driver.step()
    driver.engine.cancel(waits)
    driver.finish(runs)
    assert driver.answers[waits].tokens == []
    assert is_clean(driver)


def test_a_chat_that_is_being_rendered_can_be_cancelled(tmp_path: Path, start: Start) -> None:
    path = write_scripted(tmp_path / "m.gguf", chat_template=LOOPS)
    driver = start(path, slots=1)
    cancelled = driver.submit(chat("a"))
    driver.engine.cancel(cancelled)
    assert is_clean(driver)
    assert driver.read(ask("x")).text == "yz"
    assert driver.answers[cancelled].end is None


def test_cancelling_what_is_unknown_or_over_does_nothing(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    over = driver.submit(ask("x"))
    driver.finish(over)
    for request_id in (over, 77):
        driver.engine.cancel(request_id)
        driver.engine.interrupt(request_id)
    assert is_clean(driver)


def test_the_others_go_on_when_one_is_cancelled(
    alone: list[str], random: Path, start: Start
) -> None:
    driver = start(random, ubatch=16)
    ids = [driver.submit(ask(prompt, max_tokens=24)) for prompt in PROMPTS]
    for _ in range(4):
        driver.step()
    driver.engine.cancel(ids[2])
    driver.submit(ask("something else", max_tokens=50))
    answers = driver.finish(ids[0], ids[1], ids[3])
    assert [answer.text for answer in answers] == [alone[0], alone[1], alone[3]]


def test_a_prompt_is_cancelled_in_the_middle_of_a_step(tmp_path: Path, start: Start) -> None:
    path = write_random(tmp_path / "m.gguf", width=256, layers=8)
    driver = start(path, ubatch=2000, context=2048)
    runner = driver.engine._runner
    reads = driver.submit(ask("a" * 2000))

    def interrupt() -> None:
        while reads not in runner._interruptible:
            pass
        driver.engine.interrupt(reads)

    thread = threading.Thread(target=interrupt)
    thread.start()
    driver.step()
    thread.join()
    assert set(positions(driver)) == {-1}
    driver.engine.cancel(reads)
    assert is_clean(driver)


# Faults


def test_a_batch_that_fails_ends_its_requests_and_not_the_engine(
    scripted: Path,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = start(scripted)
    with monkeypatch.context() as patch:
        patch.setattr(runners.llama_cpp, "llama_decode", lambda *_: -3)
        answers = driver.run(ask("a"), ask("b"))
    for answer in answers:
        assert isinstance(answer.end, Failed)
        assert answer.end.code == "internal_error"
        assert "llama_decode returned -3" in answer.end.message
    assert is_clean(driver)
    assert driver.read(ask("x")).text == "yz"


def test_a_full_cache_against_the_count_ends_one_request_only(
    scripted: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = start(scripted)
    codes = [1]
    decode = llama_cpp.llama_decode
    monkeypatch.setattr(
        runners.llama_cpp, "llama_decode", lambda *a: codes.pop() if codes else decode(*a)
    )
    first, second = driver.run(ask("x"), ask("x"))
    assert first.text == "yz"
    assert isinstance(second.end, Failed)
    assert is_clean(driver)


# Chats

LOOPS = "{% for a in range(99999) %}" * 4 + "{% endfor %}" * 4


def test_a_chat_is_answered(tmp_path: Path, start: Start) -> None:
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    driver = start(write_scripted(tmp_path / "m.gguf", chat_template=template))
    assert [answer.text for answer in driver.run(chat("w"), chat("y"))] == ["xyz", "z"]
    assert is_clean(driver)


def test_a_chat_with_a_model_without_a_template_fails(scripted: Path, start: Start) -> None:
    answer = start(scripted).read(chat("hello"))
    assert isinstance(answer.end, Failed)
    assert answer.end.code == "template_error"
    assert "has no chat template" in answer.end.message


def test_answers_go_on_while_a_template_runs_wild(tmp_path: Path, start: Start) -> None:
    driver = start(write_scripted(tmp_path / "m.gguf", circle(b"abcdef"), chat_template=LOOPS))
    runs = driver.submit(ask("a"))
    wild = driver.submit(chat("x"))
    for _ in range(50):
        driver.step()
    assert driver.answers[wild].end is None
    assert driver.answers[runs].text == ("bcdefa" * 9)[:50]
    driver.engine.cancel(runs)
    driver.finish(wild)
    assert "it took longer than 2 s" in driver.answers[wild].end.message
    assert is_clean(driver)


def test_closing_ends_everything(tmp_path: Path) -> None:
    path = write_scripted(tmp_path / "m.gguf", chat_template=LOOPS)
    driver = open_driver(path)
    driver.submit(ask("a"))
    driver.submit(chat("x"))
    driver.step()
    while not psutil.Process().children():
        pass
    driver.engine.close()
    assert psutil.Process().children() == []


def test_an_engine_works_on_another_thread_and_beside_another(
    scripted: Path, random: Path, alone: list[str]
) -> None:
    texts: dict[Path, str] = {}

    def run(path: Path, prompt: str) -> None:
        driver = open_driver(path)
        request = ask(prompt, max_tokens=24)
        texts[path] = driver.read(request).text
        driver.engine.close()

    threads = [
        threading.Thread(target=run, args=arguments)
        for arguments in ((scripted, "s"), (random, PROMPTS[0]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {scripted: "tuvwxyz", random: alone[0]}
