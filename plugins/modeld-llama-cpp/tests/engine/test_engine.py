# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import llama_cpp
import psutil
import pytest
from driver import PROMPTS, Driver, ask, chat, is_clean, open_driver, positions
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modeld_llama_cpp.engine import runner as runners
from modeld_llama_cpp.engine import sequence
from tiny_gguf import EOS, SILENT, circle, write_random, write_scripted

from modeld import Done, Failed, FinishReason, GenerateRequest, Sampling, Usage
from modeld.errors import InvalidRequestError, PromptRequiredError, PromptTooLongError

Start = Callable[..., Driver]


# How a generation ends


def test_a_generation_ends_where_the_model_ends_it(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    generation = driver.read(ask("uvw"))
    assert generation.tokens == ["x", "y", "z"]
    usage = Usage(prompt_tokens=4, completion_tokens=4)
    assert generation.end == Done(finish_reason=FinishReason.STOP, usage=usage)
    assert is_clean(driver)


def test_a_generation_may_be_empty(scripted: Path, start: Start) -> None:
    generation = start(scripted).read(ask("z"))
    assert (generation.tokens, generation.reason) == ([], FinishReason.STOP)
    assert generation.end.usage.completion_tokens == 1


def test_a_generation_has_at_most_max_tokens(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    for count in (1, 5):
        generation = driver.read(ask("a", max_tokens=count))
        assert (generation.text, generation.reason) == ("bcdef"[:count], FinishReason.LENGTH)
        assert generation.end.usage.completion_tokens == count
    assert is_clean(driver)


def test_a_generation_that_ends_with_its_last_token_ended_by_itself(
    scripted: Path, start: Start
) -> None:
    generation = start(scripted).read(ask("y", max_tokens=2))
    assert (generation.text, generation.reason) == ("z", FinishReason.STOP)


@pytest.mark.parametrize("max_tokens", [None, 2**62])
def test_a_generation_ends_with_the_context(
    max_tokens: int | None, random: Path, start: Start
) -> None:
    driver = start(random, context=40)
    generation = driver.read(ask("a" * 9, max_tokens=max_tokens))
    assert generation.reason is FinishReason.LENGTH
    assert generation.end.usage == Usage(prompt_tokens=10, completion_tokens=30)
    assert is_clean(driver)


def test_a_prompt_that_leaves_one_cell_gets_one_token(scripted: Path, start: Start) -> None:
    generation = start(scripted, context=40).read(ask("a" * 38))
    assert (generation.text, generation.reason) == ("b", FinishReason.LENGTH)


def test_a_stop_string_ends_a_generation_and_is_not_shown(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    generation = driver.read(ask("a", stop=("fgh", "zz")))
    assert (generation.text, generation.reason) == ("bcde", FinishReason.STOP)
    assert generation.end.usage.completion_tokens == 7
    assert is_clean(driver)


def test_a_stop_string_may_be_the_very_first_token(scripted: Path, start: Start) -> None:
    generation = start(scripted).read(ask("a", stop=("b",)))
    assert (generation.tokens, generation.reason) == ([], FinishReason.STOP)


def test_the_beginning_of_a_stop_string_at_the_end_is_shown(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    assert driver.read(ask("w", stop=("yz!",))).text == "xyz"
    assert driver.read(ask("a", stop=("cde!",), max_tokens=3)).text == "bcd"


def test_characters_are_never_cut(tmp_path: Path, start: Start) -> None:
    text = "€é\U0001f600"
    driver = start(write_scripted(tmp_path / "m.gguf", circle(text.encode())))
    generation = driver.read(ask(text, max_tokens=9 * 3))
    assert generation.tokens == list(text) * 3


def test_a_character_that_the_length_cuts_is_left_out(tmp_path: Path, start: Start) -> None:
    text = "é€\U0001f600"
    driver = start(write_scripted(tmp_path / "m.gguf", circle(text.encode())))
    for count in range(1, 10):
        generation = driver.read(ask(text, max_tokens=count, logprobs=0))
        assert generation.text == text.encode()[:count].decode(errors="ignore")
        assert generation.end.usage.completion_tokens == count
        written = b"".join(each.chosen.piece for each in generation.logprobs)
        assert written == text.encode()[:count]


def test_a_character_that_the_model_itself_cuts_is_left_out(tmp_path: Path, start: Start) -> None:
    script = {b"a": "€".encode()[:1], "€".encode()[:1]: "€".encode()[1:2], "€".encode()[1:2]: EOS}
    generation = start(write_scripted(tmp_path / "m.gguf", script)).read(ask("a"))
    assert (generation.tokens, generation.reason) == ([], FinishReason.STOP)


def test_special_tokens_are_not_shown(tmp_path: Path, start: Start) -> None:
    script = {b"a": SILENT, SILENT: b"b", b"b": EOS}
    generation = start(write_scripted(tmp_path / "m.gguf", script)).read(ask("a"))
    assert generation.tokens == ["b"]
    assert generation.end.usage.completion_tokens == 3


# What is refused


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
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
    generation = driver.read(ask("a" * 30_000))
    assert isinstance(generation.end, Failed)
    assert generation.end.code == "prompt_too_long"
    assert "30001 tokens and the context 100" in generation.end.message
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


def test_all_slots_work_together(scripted: Path, start: Start) -> None:
    driver = start(scripted, slots=8)
    generations = driver.run(*[ask(letter) for letter in "abcdefgh"])
    assert [generation.text for generation in generations] == [
        "abcdefghijklmnopqrstuvwxyz"[n:] for n in range(1, 9)
    ]
    assert is_clean(driver)


def test_a_long_prompt_does_not_stop_running_generations(random: Path, start: Start) -> None:
    driver = start(random, ubatch=16)
    runs = driver.submit(ask("a", max_tokens=200))
    driver.step()
    reads = driver.submit(ask("b" * 300, max_tokens=1))
    while driver.generations[reads].end is None:
        before = len(driver.generations[runs].tokens)
        driver.step()
        assert len(driver.generations[runs].tokens) == before + 1


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
def test_a_greedy_generation_does_not_depend_on_its_company(
    ubatch: int, apart: int, alone: list[str], random: Path, start: Start
) -> None:
    driver = start(random, ubatch=ubatch)
    for prompt in PROMPTS:
        driver.submit(ask(prompt, max_tokens=24))
        for _ in range(apart):
            driver.step()
    assert [generation.text for generation in driver.finish(*range(4))] == alone
    assert is_clean(driver)


def test_generations_that_had_to_give_way_come_out_whole(
    alone: list[str], random: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = partial(sequence.Sequence, headroom=1)
    monkeypatch.setattr("modeld_llama_cpp.engine.engine.TokenSequence", hasty)
    driver = start(random, context=256)
    preempted = 0
    ids = [driver.submit(ask(prompt, max_tokens=24)) for prompt in PROMPTS]
    while any(driver.generations[request_id].end is None for request_id in ids):
        before = len(driver.engine._scheduler._waiting)
        driver.step()
        preempted += len(driver.engine._scheduler._waiting) > before
    assert preempted
    assert [generation.text for generation in driver.finish(*ids)] == alone
    assert is_clean(driver)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.sampled_from(["ask", "step", "cancel"]), st.integers(0, 3))))
def test_whatever_comes_and_goes_generations_are_whole_and_nothing_is_left(
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
        running = {key: n for key, n in running.items() if shared.generations[key].end is None}
    generations = shared.finish(*running)
    assert [generation.text for generation in generations] == [alone[n] for n in running.values()]
    assert is_clean(shared)


@pytest.fixture
def shared(random: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """An engine with few cells, which preempts requests now and then."""
    hasty = partial(sequence.Sequence, headroom=1)
    monkeypatch.setattr("modeld_llama_cpp.engine.engine.TokenSequence", hasty)
    return start(random, context=256, ubatch=32)


def test_sampled_generations_with_a_seed_do_not_depend_on_their_company(
    random: Path, start: Start
) -> None:
    driver = start(random)
    wild = Sampling(temperature=3.0, top_k=0, top_p=1.0, min_p=0.0, seed=5)
    request = ask("hello", max_tokens=20, sampling=wild)
    alone = driver.read(request).text
    first, *_ = driver.run(request, ask("other", max_tokens=30), ask("third", max_tokens=60))
    assert first.text == alone


# Cancellation


def test_a_cancelled_generation_frees_its_slot_at_once(scripted: Path, start: Start) -> None:
    driver = start(scripted, slots=1)
    cancelled = driver.submit(ask("a"))
    driver.step()
    driver.engine.cancel(cancelled)
    assert is_clean(driver)
    assert driver.read(ask("x")).text == "yz"
    assert driver.generations[cancelled].tokens == ["b"]


def test_a_cancelled_prompt_frees_its_slot_at_once(random: Path, start: Start) -> None:
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
    assert driver.generations[waits].tokens == []
    assert is_clean(driver)


def test_a_chat_that_is_being_rendered_can_be_cancelled(tmp_path: Path, start: Start) -> None:
    path = write_scripted(tmp_path / "m.gguf", chat_template=LOOPS)
    driver = start(path, slots=1)
    cancelled = driver.submit(chat("a"))
    driver.engine.cancel(cancelled)
    assert is_clean(driver)
    assert driver.read(ask("x")).text == "yz"
    assert driver.generations[cancelled].end is None


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
    generations = driver.finish(ids[0], ids[1], ids[3])
    assert [generation.text for generation in generations] == [alone[0], alone[1], alone[3]]


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
        generations = driver.run(ask("a"), ask("b"))
    for generation in generations:
        assert isinstance(generation.end, Failed)
        assert generation.end.code == "internal_error"
        assert "llama_decode returned -3" in generation.end.message
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
    assert [generation.text for generation in driver.run(chat("w"), chat("y"))] == ["xyz", "z"]
    assert is_clean(driver)


def test_a_chat_with_a_model_without_a_template_fails(scripted: Path, start: Start) -> None:
    generation = start(scripted).read(chat("hello"))
    assert isinstance(generation.end, Failed)
    assert generation.end.code == "template_error"
    assert "has no chat template" in generation.end.message


def test_generations_go_on_while_a_template_runs_wild(tmp_path: Path, start: Start) -> None:
    path = write_scripted(tmp_path / "m.gguf", circle(b"abcdef"), chat_template=LOOPS)
    driver = start(path, draft_tokens=0)
    runs = driver.submit(ask("a"))
    wild = driver.submit(chat("x"))
    for _ in range(50):
        driver.step()
    assert driver.generations[wild].end is None
    assert driver.generations[runs].text == ("bcdefa" * 9)[:50]
    driver.engine.cancel(runs)
    driver.finish(wild)
    assert "it took longer than 2 s" in driver.generations[wild].end.message
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


# Clients that are behind


def test_a_paused_generation_stands_still_and_goes_on_as_if_nothing_was(
    random: Path, start: Start
) -> None:
    driver = start(random, context=400, slots=2)
    alone = driver.read(ask("aaaa", max_tokens=40, cache_prompt=False)).text
    slow = driver.submit(ask("aaaa", max_tokens=40, cache_prompt=False))
    fast = driver.submit(ask("bbbb", max_tokens=100, cache_prompt=False))
    while len(driver.generations[slow].tokens) < 3:
        driver.step()
    before = driver.generations[slow].text

    assert driver.engine.pause(slow)
    driver.finish(fast)
    assert driver.generations[slow].text == before

    driver.engine.resume(slow)
    assert driver.finish(slow)[0].text == alone
    assert is_clean(driver)


def test_a_paused_generation_gives_way_to_a_prompt_that_does_not_fit_beside_it(
    random: Path, start: Start
) -> None:
    driver = start(random, context=512)
    request = ask("a" * 300, max_tokens=20, cache_prompt=False)
    alone = driver.read(request).text
    slow = driver.submit(request)
    while len(driver.generations[slow].tokens) < 3:
        driver.step()
    driver.engine.pause(slow)

    assert driver.read(ask("b" * 300, max_tokens=20, cache_prompt=False)).reason is not None
    assert driver.engine._generations[slow].sequence.seq_id is None, "it has given its cells away"

    driver.engine.resume(slow)
    assert driver.finish(slow)[0].text == alone
    assert is_clean(driver)


def test_a_paused_generation_can_be_cancelled(random: Path, start: Start) -> None:
    driver = start(random, context=400)
    slow = driver.submit(ask("aaaa"))
    driver.step()
    assert driver.engine.pause(slow)
    driver.engine.cancel(slow)
    assert not driver.engine.pause(slow)
    assert is_clean(driver)
