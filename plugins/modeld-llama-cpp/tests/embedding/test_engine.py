# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import pytest
from asker import Asker, likeness, open_asker
from bert_gguf import Bert, random_bert
from modeld_llama_cpp.embedding import engine, inputs, runner
from numpy.typing import NDArray
from tiny_gguf import write_random

from modeld import Failed, GenerateRequest, Message
from modeld.errors import InvalidRequestError, NotSupportedError, PromptTooLongError
from modeld.requests import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import TextResponse, TokenizeResponse

TEXTS = ("the cat sat on the mat.", "a red house", "the king is in the blue house of the queen")
LONG = "the cat " * 30
Start = Callable[..., Asker]


def alike(ones: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Whether all vectors are the same but for rounding, which goes with a batch's layout."""
    return all(likeness(*pair) > 0.9999 for pair in zip(ones, others, strict=True))


@pytest.fixture(scope="module")
def berts() -> dict[str, Bert]:
    """One encoder for each kind of pooling."""
    return {
        kind.name.lower(): random_bert(number, kind)
        for number, kind in enumerate(gguf.PoolingType)
        if kind is not gguf.PoolingType.NONE
    }


@pytest.fixture(scope="module")
def paths(berts: dict[str, Bert], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Their files, and that of a decoder."""
    folder = tmp_path_factory.mktemp("encoders")
    found = {name: bert.write(folder / f"{name}.gguf") for name, bert in berts.items()}
    return found | {"decoder": write_random(folder / "decoder.gguf", seed=3)}


@pytest.fixture
def start(paths: dict[str, Path]) -> Iterator[Start]:
    """Opens engines, and closes them after the test."""
    opened: list[Asker] = []

    def open_and_remember(name: str, **options: object) -> Asker:
        if name == "decoder":
            options = {"embeddings": True, "context": 256} | options
        opened.append(open_asker(paths[name], **options))
        return opened[-1]

    yield open_and_remember
    for asker in opened:
        asker.engine.close()


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_vectors_are_those_of_the_same_model_in_numpy(
    pooling: str, berts: dict[str, Bert], start: Start
) -> None:
    asker = start(pooling)
    expected = [berts[pooling].vector(asker.tokens(text)) for text in TEXTS]
    assert alike(asker.vectors(*TEXTS), np.array(expected))


def test_the_option_pooling_goes_before_the_model(berts: dict[str, Bert], start: Start) -> None:
    asker = start("mean", pooling="cls")
    expected = berts["mean"].hidden(asker.tokens(TEXTS[0]))[0]
    assert likeness(asker.vectors(TEXTS[0])[0], expected) > 0.9999


def test_vectors_are_normalised_where_that_is_asked_for(start: Start) -> None:
    asker = start("mean")
    assert np.linalg.norm(asker.vectors(*TEXTS, normalize=True), axis=1) == pytest.approx(1)
    assert np.linalg.norm(asker.vectors(*TEXTS), axis=1) != pytest.approx(1)


@pytest.mark.parametrize("name", ["mean", "decoder"])
def test_vectors_are_the_same_in_company(name: str, start: Start) -> None:
    asker = start(name)
    texts = [LONG[: 8 * length] for length in (1, 5, 2, 7, 1, 3)] * 10
    alone = {text: asker.vectors(text)[0] for text in set(texts)}
    assert alike(asker.vectors(*texts), np.array([alone[text] for text in texts]))


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_an_input_that_is_cut_has_the_vector_of_the_whole(pooling: str, start: Start) -> None:
    asker = start("decoder", pooling=pooling)
    whole = asker.vectors("a", LONG, "b" * 40)
    asker.engine._packer._limits = replace(asker.engine._runner.limits, tokens=16)
    assert alike(asker.vectors("a", LONG, "b" * 40), whole)


def test_the_tokens_of_all_inputs_are_counted(start: Start) -> None:
    asker = start("mean")
    (response,) = asker.run(EmbedRequest(inputs=TEXTS))
    assert response.usage.prompt_tokens == sum(len(asker.tokens(text)) for text in TEXTS)
    assert response.usage.total_tokens == response.usage.prompt_tokens


def test_requests_at_once_each_get_their_own_vectors(start: Start) -> None:
    asker = start("mean", slots=3)
    expected = [asker.vectors(text, normalize=True)[0] for text in TEXTS]
    requests = [EmbedRequest(inputs=(text,) * count) for count, text in enumerate(TEXTS, 1)]
    for count, (response, vector) in enumerate(zip(asker.run(*requests), expected, strict=True), 1):
        assert len(response.vectors) == count
        assert np.array(response.vectors) == pytest.approx(np.array([vector] * count), abs=1e-5)


def test_a_request_of_one_input_does_not_wait_for_one_of_two_thousand(start: Start) -> None:
    asker = start("mean")
    many = asker.ask(EmbedRequest(inputs=("a red house",) * 2000))
    while not asker.engine._packer.busy:
        asker.step()
    one = asker.ask(EmbedRequest(inputs=("the cat",)))
    asker.step()
    assert list(asker.responses) == [one]
    (response,) = asker.finish(many)
    assert len(response.vectors) == 2000


def test_the_same_texts_read_beside_the_steps_have_the_same_vectors(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = start("mean")
    at_once = asker.vectors(*TEXTS)
    monkeypatch.setattr(engine, "SHORT_TEXTS", 0)
    assert asker.vectors(*TEXTS) == pytest.approx(at_once)


def test_an_input_may_be_as_long_as_the_model_was_trained_for(start: Start) -> None:
    asker = start("mean", context=4096)  # more than the table of positions has
    assert len(asker.vectors("cat " * 62)[0]) == 32
    with pytest.raises(
        PromptTooLongError, match=r"input\[1\] has 65 tokens and the model reads 64 at once"
    ):
        asker.ask(EmbedRequest(inputs=("cat", "cat " * 63)))
    assert not asker.engine._packer.busy


def test_a_long_input_is_refused_beside_the_steps(start: Start) -> None:
    (failed,) = start("mean").run(EmbedRequest(inputs=("cat", "cat " * 9000)))
    assert isinstance(failed, Failed)
    assert (failed.code, failed.field) == ("prompt_too_long", "input")
    assert "input[1] has more than" in failed.message


def test_nothing_and_an_empty_input_are_refused(start: Start) -> None:
    asker = start("mean")
    with pytest.raises(InvalidRequestError, match="input is empty; it must have at least one"):
        asker.ask(EmbedRequest(inputs=()))
    with pytest.raises(InvalidRequestError, match=r"input\[1\] is empty") as caught:
        asker.ask(EmbedRequest(inputs=("a", "")))
    assert caught.value.field == "input"


def test_half_a_surrogate_pair_is_refused(start: Start) -> None:
    with pytest.raises(
        InvalidRequestError, match=r"input\[0\] has half of a surrogate pair at character 2"
    ):
        start("mean").ask(EmbedRequest(inputs=("ab\ud800",)))


def test_there_is_a_most_of_inputs_and_of_numbers(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = start("mean")
    with pytest.raises(InvalidRequestError, match=r"input has 2049 texts; .* at most 2048"):
        asker.ask(EmbedRequest(inputs=("a",) * 2049))
    monkeypatch.setattr(engine, "MOST_NUMBERS", 100)
    with pytest.raises(InvalidRequestError, match=r"input has 4 texts; .* at most 3"):
        asker.ask(EmbedRequest(inputs=("a",) * 4))


def test_text_is_not_written(start: Start) -> None:
    with pytest.raises(NotSupportedError, match=r"mean.gguf is loaded for embeddings .*: false`"):
        start("mean").engine.submit(0, GenerateRequest(prompt="a"))


def test_more_requests_than_slots_are_a_mistake_of_the_caller(start: Start) -> None:
    asker = start("mean", slots=1)
    asker.ask(EmbedRequest(inputs=("a",)))
    with pytest.raises(RuntimeError, match="all 1 slots are taken"):
        asker.ask(EmbedRequest(inputs=("a",)))


def test_scores_are_those_of_the_same_model_in_numpy(berts: dict[str, Bert], start: Start) -> None:
    asker = start("rank")
    pairs = asker.engine._inputs.read(RerankRequest(query="red king", documents=TEXTS))
    expected = [float(berts["rank"].vector(pair)[0]) for pair in pairs]
    assert asker.scores("red king", *TEXTS) == pytest.approx(np.array(expected), abs=0.01)


def test_the_order_of_the_documents_does_not_change_their_scores(start: Start) -> None:
    asker = start("rank")
    scores = asker.scores("red king", *TEXTS)
    assert asker.scores("red king", *reversed(TEXTS)) == pytest.approx(scores[::-1], abs=1e-5)
    assert len(set(scores)) == len(TEXTS)


def test_the_tokens_of_a_query_count_for_each_document(start: Start) -> None:
    asker = start("rank")
    request = RerankRequest(query="red king", documents=TEXTS)
    (response,) = asker.run(request)
    pairs = asker.engine._inputs.read(request)
    assert response.usage.prompt_tokens == sum(map(len, pairs))


def test_a_long_query_for_many_documents_is_read_beside_the_steps(start: Start) -> None:
    asker = start("rank")
    asker.ask(RerankRequest(query="cat " * 15, documents=("a",) * 5))
    assert asker.engine._packer.busy
    many = asker.ask(RerankRequest(query="cat " * 15, documents=("a",) * 50))
    assert list(asker.engine._preparing) == [many]
    assert len(asker.finish(many)[0].scores) == 50


def test_a_model_with_vectors_does_not_rank_and_one_that_ranks_has_no_vectors(
    start: Start,
) -> None:
    with pytest.raises(NotSupportedError, match="cannot score documents: its pooling is mean"):
        start("mean").ask(RerankRequest(query="a", documents=("b",)))
    with pytest.raises(NotSupportedError, match="scores documents and has no vectors"):
        start("rank").ask(EmbedRequest(inputs=("a",)))


def test_a_query_without_documents_is_refused(start: Start) -> None:
    with pytest.raises(InvalidRequestError, match="documents is empty"):
        start("rank").ask(RerankRequest(query="a", documents=()))


def test_texts_and_tokens_are_answered_for(start: Start) -> None:
    tokens, text, failed = start("mean").run(
        TokenizeRequest(text="a cat", with_pieces=True),
        DetokenizeRequest(tokens=(2, 6)),
        ApplyTemplateRequest(messages=(Message(role="user", content="a"),)),
    )
    assert isinstance(tokens, TokenizeResponse)
    assert tokens.pieces == (b"[CLS]", b" a", b" cat", b"[SEP]")
    assert text == TextResponse(text="[CLS] cat")
    assert isinstance(failed, Failed)
    assert failed.code == "template_error"


@pytest.mark.parametrize("limit", [0, engine.SHORT_TEXTS])
def test_a_cancelled_request_is_forgotten_in_every_stage(
    limit: int, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SHORT_TEXTS", limit)
    asker = start("mean", slots=1)
    gone = asker.ask(EmbedRequest(inputs=TEXTS))
    asker.engine.cancel(gone)
    asker.engine.cancel(gone)
    asker.step()
    assert asker.responses == {}
    assert len(asker.vectors(TEXTS[0])) == 1


def test_a_request_that_is_cancelled_half_way_leaves_nothing_in_memory(start: Start) -> None:
    asker = start("decoder", slots=2, pooling="last", ubatch=16)
    expected = asker.vectors("abc")
    gone = asker.ask(EmbedRequest(inputs=(LONG,)))
    asker.step()
    assert asker.engine._packer._begun is not None
    asker.engine.cancel(gone)
    assert alike(asker.vectors("abc"), expected)
    assert list(asker.responses) == [0, 2]


@pytest.mark.parametrize("name", ["mean", "decoder"])
def test_an_interrupted_batch_is_computed_again_without_a_trace(
    name: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = start(name, ubatch=16)
    texts = [LONG[:200], "the cat", LONG[:100]]
    expected = asker.vectors(*texts)
    codes = interrupt_each_second_time(asker, 1, monkeypatch)
    assert alike(asker.vectors(*texts), expected)
    assert 2 in codes


def interrupt_each_second_time(
    asker: Asker, request_id: int, monkeypatch: pytest.MonkeyPatch
) -> list[int]:
    """Interrupt a request in every second batch; the list collects return codes."""
    decode, codes = llama_cpp.llama_decode, []

    def interrupted(context: int, batch: llama_cpp.llama_batch) -> int:
        if len(codes) % 2 == 0:
            asker.engine.interrupt(request_id)
        codes.append(decode(context, batch))
        return codes[-1]

    monkeypatch.setattr(runner.llama_cpp, "llama_decode", interrupted)
    return codes


def test_a_batch_in_which_others_have_a_part_is_not_interrupted(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = start("mean")
    codes = interrupt_each_second_time(asker, 0, monkeypatch)
    asker.run(*[EmbedRequest(inputs=(text,)) for text in TEXTS])
    assert codes == [0]


def test_a_batch_that_llama_cpp_cannot_compute_fails_its_requests_only(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asker = start("decoder", slots=3, pooling="last", ubatch=16)
    expected = asker.vectors("abc")
    decode = llama_cpp.llama_decode
    failing = [asker.ask(EmbedRequest(inputs=(text,))) for text in ("a", LONG)]
    spared = asker.ask(EmbedRequest(inputs=("abc",)))

    def fail_once(context: int, batch: llama_cpp.llama_batch) -> int:
        monkeypatch.setattr(runner.llama_cpp, "llama_decode", decode)
        batch.n_tokens = 0
        return decode(context, batch)

    monkeypatch.setattr(runner.llama_cpp, "llama_decode", fail_once)
    for failed in asker.finish(*failing):
        assert isinstance(failed, Failed)
        assert failed.code == "internal_error"
        assert "could not compute a batch: decode: n_tokens == 0" in failed.message
    (response,) = asker.finish(spared)
    assert likeness(np.array(response.vectors[0]), expected[0]) == pytest.approx(1)
    assert "n_tokens == 0" in capsys.readouterr().err


def test_closing_ends_what_is_being_read(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, may_go_on = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        reading.set()
        may_go_on.wait()

    monkeypatch.setattr(engine, "SHORT_TEXTS", 0)
    monkeypatch.setattr(inputs, "known_excess", wait)
    asker = open_asker(paths["mean"])
    asker.ask(EmbedRequest(inputs=TEXTS))
    reading.wait()
    closing = threading.Thread(target=asker.engine.close)
    closing.start()
    may_go_on.set()
    closing.join()
    assert asker.responses == {}
