# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import gguf
import pytest
from asker import vocabulary_of
from bert_gguf import random_bert
from driver import Driver, Generation, ask
from hypothesis import given
from hypothesis import strategies as st
from modeld_llama_cpp.engine import request_reader
from modeld_llama_cpp.engine.request_reader import read_stops
from modeld_llama_cpp.tokens.detokenizer import TextStream
from modeld_llama_cpp.tokens.stops import Stop
from modeld_llama_cpp.tokens.vocabulary import Vocabulary
from tiny_gguf import BOS, END, EOS, SILENT, circle, write_scripted

from modeld import Done, FinishReason
from modeld.errors import InvalidRequestError

Start = Callable[..., Driver]
Symbols = Sequence[str | int]
"""Characters that are shown, and ids of special tokens that are not."""

NAMES = {"<|silent|>": SILENT, "<|end|>": END, "<s>": BOS}
symbols = st.sampled_from(["a", "b", *NAMES.values()])


@pytest.fixture(scope="module")
def vocabulary(scripted: Path) -> Iterator[Vocabulary]:
    with vocabulary_of(scripted) as made:
        yield made


def named(text: Symbols) -> str:
    names = {token: name for name, token in NAMES.items()}
    return "".join(each if isinstance(each, str) else names[each] for each in text)


def feed(stream: TextStream, generation: Symbols) -> str:
    shown = ""
    for each in generation:
        shown += stream.push(each.encode()) if isinstance(each, str) else stream.push_special(each)
        if stream.stopped:
            return shown
    return shown + stream.flush()


def read_by_hand(generation: Symbols, wanted: Sequence[Symbols]) -> tuple[str, bool]:
    """The text up to where the first stop text is complete, and whether there is one."""
    readings = [list(named(stop)) for stop in wanted] + [list(stop) for stop in wanted]
    for end in range(1, len(generation) + 1):
        taken = []
        for stop in readings:
            seen = [each for each in generation[:end] if isinstance(each, str) or each in stop]
            if seen[-len(stop) :] == stop and generation[end - 1] in stop:
                taken.append(sum(isinstance(each, str) for each in stop))
        if taken:
            text = [each for each in generation[:end] if isinstance(each, str)]
            return "".join(text[: len(text) - max(taken)]), True
    return "".join(each for each in generation if isinstance(each, str)), False


def test_ordinary_text_is_looked_for_as_it_is(vocabulary: Vocabulary) -> None:
    for text in ("abc", "<|silent", "silent|>", "< |end|>", "<0x41>", "é"):
        assert read_stops([text], vocabulary) == (Stop(text=text),)


def test_special_tokens_are_looked_for_as_such_too(vocabulary: Vocabulary) -> None:
    plain, marked = read_stops(["a<|end|><s>b<|end|>"], vocabulary)
    assert plain == Stop(text="a<|end|><s>b<|end|>")
    assert list(marked.marks) == [END, BOS]
    end, bos = marked.marks.values()
    assert marked.text == f"a{end}{bos}b{end}"
    assert marked.shown(marked.text) == 2


def test_the_token_for_what_is_unknown_is_one_only_where_it_is_named(tmp_path: Path) -> None:
    path = random_bert(1, gguf.PoolingType.MEAN).write(tmp_path / "bert.gguf")
    with vocabulary_of(path) as words:
        tokens = [words.tokenize(each.encode(), add_special=False) for each in ("\u8a9e", "[UNK]")]
        assert tokens[0] == tokens[1]
        assert read_stops(["\u8a9e"], words) == (Stop(text="\u8a9e"),)
        assert len(read_stops(["[UNK]"], words)) == 2


def test_half_a_surrogate_pair_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(InvalidRequestError, match="stop has half of a surrogate pair") as caught:
        read_stops(["a\ud800"], vocabulary)
    assert caught.value.field == "stop"


def test_more_special_tokens_than_there_are_marks_are_refused(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_reader, "MARKS", range(0xD800, 0xD802))
    assert len(read_stops(["<s><|end|>"], vocabulary)) == 2
    with pytest.raises(InvalidRequestError, match="more than 2 special tokens"):
        read_stops(["<s><|end|><|silent|>"], vocabulary)


@given(
    generation=st.lists(symbols, max_size=12),
    wanted=st.lists(st.lists(symbols, min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_a_generation_ends_where_a_stop_text_is_complete(
    vocabulary: Vocabulary, generation: list[str | int], wanted: list[list[str | int]]
) -> None:
    stream = TextStream(read_stops(map(named, wanted), vocabulary))
    shown = feed(stream, generation)
    assert (shown, stream.stopped) == read_by_hand(generation, wanted)


@given(st.lists(st.text("<|silent>", min_size=1, max_size=4), min_size=1, max_size=3))
def test_a_special_token_that_no_stop_text_names_stops_nothing(
    vocabulary: Vocabulary, wanted: list[str]
) -> None:
    stream = TextStream(read_stops(wanted, vocabulary))
    assert feed(stream, [SILENT, END]) == ""
    assert not stream.stopped


def written(generation: Generation) -> bytes:
    assert len(generation.logprobs) == generation.end.usage.completion_tokens
    return b"".join(each.chosen.piece for each in generation.logprobs)


# After `z` come a special token and `A`, after `Z` the end.
SCRIPT = {
    **circle(b"abcdefghijklmnopqrstuvwxyz"),
    b"z": SILENT,
    SILENT: b"A",
    **circle(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    b"Z": EOS,
}


@pytest.mark.parametrize("drafts", [0, 8])
@pytest.mark.parametrize(
    "case",
    [
        ("<|silent|>", "xyz", b"z<|silent|>"),
        ("yz<|silent|>", "x", b"z<|silent|>"),
        ("z<|silent|>AB", "xy", b"<|silent|>AB"),
        ("<|silent|>AB", "xyz", b"<|silent|>AB"),
        ("zA", "xy", b"<|silent|>A"),  # as it is shown
        ("y<|silent|>", "xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", b"Z</s>"),
        ("<|end|>", "xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", b"Z</s>"),
        ("XYZ</s>", "xyzABCDEFGHIJKLMNOPQRSTUVW", b"Z</s>"),
        ("</s>", "xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", b"Z</s>"),
        ("Z</s>!", "xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", b"Z</s>"),
        ("silent", "xyzABCDEFGHIJKLMNOPQRSTUVWXYZ", b"Z</s>"),
    ],
)
def test_a_generation_ends_before_a_stop_text_with_special_tokens(
    drafts: int, case: tuple[str, str, bytes], tmp_path: Path, start: Start
) -> None:
    stop, text, end = case
    driver = start(write_scripted(tmp_path / "m.gguf", SCRIPT), draft_tokens=drafts)
    for logprobs in (None, 0):
        generation = driver.read(ask("w", stop=(stop,), logprobs=logprobs))
        assert (generation.text, generation.reason) == (text, FinishReason.STOP)
    assert written(generation).endswith(end)


@pytest.mark.parametrize(
    ("stops", "found"),
    [
        (("!", "yz"), "yz"),
        (("AB", "z<|silent|>A"), "z<|silent|>A"),
        (("Z</s>", "!"), "Z</s>"),
        (("silent", "!"), None),
    ],
)
def test_the_end_names_the_stop_text_as_the_request_has_it(
    stops: tuple[str, ...], found: str | None, tmp_path: Path, start: Start
) -> None:
    driver = start(write_scripted(tmp_path / "m.gguf", SCRIPT))
    end = driver.read(ask("w", stop=stops)).end
    assert isinstance(end, Done)
    assert end.stop_text == found


def test_what_was_kept_back_for_a_stop_text_is_shown_when_the_length_ends_it(
    tmp_path: Path, start: Start
) -> None:
    driver = start(write_scripted(tmp_path / "m.gguf", SCRIPT))
    generation = driver.read(ask("w", stop=("z<|silent|>B",), max_tokens=4))
    assert (generation.text, generation.reason) == ("xyz", FinishReason.LENGTH)


def test_a_special_token_that_is_the_last_one_stops_it_all_the_same(
    tmp_path: Path, start: Start
) -> None:
    driver = start(write_scripted(tmp_path / "m.gguf", SCRIPT))
    generation = driver.read(ask("w", stop=("z<|silent|>",), max_tokens=4))
    assert (generation.text, generation.reason) == ("xy", FinishReason.STOP)


def test_long_stop_texts_are_read_beside_the_steps(scripted: Path, start: Start) -> None:
    driver = start(scripted)
    request_id = driver.submit(ask("a", stop=tuple("fgh" + "!" * 200 for _ in range(16))))
    assert request_id in driver.engine._preparing
    assert driver.finish(request_id)[0].text == "bcdefghijklmnopqrstuvwxyz"
    half = driver.read(ask("a" * 3000, stop=("\ud800",)))
    assert half.end.field == "stop"


@pytest.mark.model
@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_every_token_that_is_not_shown_can_be_named(
    name: str, request: pytest.FixtureRequest
) -> None:
    with vocabulary_of(request.getfixturevalue(name)) as vocabulary:
        hidden = [token for token in range(vocabulary.size) if not vocabulary.piece(token)]
        assert len(hidden) > 10
        for token in hidden:
            plain, marked = read_stops([f"a{vocabulary.written(token).decode()}b"], vocabulary)
            assert list(marked.marks) == [token]
            assert marked.text == f"a{marked.marks[token]}b" != plain.text


@pytest.mark.model
@pytest.mark.parametrize(
    ("stop", "text"),
    [
        ("<|im_start|>", ""),
        ("<|im_start|>assistant\n", ""),
        ("assistant", ""),
        ("4<|im_end|>", "assistant\nThe answer is: "),
        (" answer", "assistant\nThe"),
        ("is: 4.<|im_end|>", "assistant\nThe answer is: 4"),
        ("im_start", "assistant\nThe answer is: 4"),
    ],
)
def test_smollm2_stops_at_its_special_tokens(
    stop: str, text: str, smollm2: Path, start: Start
) -> None:
    prompt = "<|im_start|>user\nWhat is 2+2?<|im_end|>\n"
    driver = start(smollm2)
    generation = driver.read(ask(prompt, max_tokens=24, stop=(stop,), logprobs=0))
    assert (generation.text, generation.reason) == (text, FinishReason.STOP)
    assert written(generation).startswith(b"<|im_start|>")


@pytest.mark.model
@pytest.mark.parametrize(
    ("stop", "text"), [("</i>", "<h1><i>Pterodroma"), ("\n\n<i>", "<h1><i>Pterodroma</i></h1>")]
)
def test_gemma_stops_at_tokens_of_its_own_that_are_shown(
    stop: str, text: str, gemma3: Path, start: Start
) -> None:
    generation = start(gemma3).read(ask("<bos>", max_tokens=24, stop=(stop,), logprobs=0))
    assert (generation.text, generation.reason) == (text, FinishReason.STOP)
    assert written(generation).endswith(stop.encode())
