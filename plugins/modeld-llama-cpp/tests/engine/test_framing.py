# SPDX-License-Identifier: GPL-3.0-only
"""What stands around a text is decided once, whatever is asked about the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import pytest
from asker import open_asker, vocabulary_of
from bert_gguf import CLS, SEP, WORDS, random_bert
from driver import Driver, ask, chat, open_driver
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tiny_gguf import BOS, EOS, token_of, write_scripted

from modeld.requests import ApplyTemplateRequest, EmbedRequest, TokenizeRequest

Start = Callable[..., Driver]

CHAT = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}{{ eos_token }}"
MARKS = ("<s>", "</s>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|end|>")
texts = st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=3)), max_size=5).map("".join)

said = st.lists(
    st.one_of(st.sampled_from(("<", ">", "<|im_", "end|>", "</s", "<bo")), st.text(max_size=3)),
    max_size=5,
).map("".join)
"""What people say, with pieces of special tokens at any place."""

A = token_of(b"a")


@pytest.mark.parametrize(
    ("add_bos", "add_eos", "text", "tokens"),
    [
        (True, False, "a", [BOS, A]),
        (True, False, "<s>a", [BOS, A]),
        (True, False, "<s><s>a", [BOS, BOS, A]),
        (True, False, "a<s>", [BOS, A, BOS]),
        (True, True, "a", [BOS, A, EOS]),
        (True, True, "<s>a", [BOS, A, EOS]),
        (True, True, "a</s>", [BOS, A, EOS]),
        (True, True, "<s>a</s>", [BOS, A, EOS]),
        (True, True, "", [BOS, EOS]),
        (True, True, "<s>", [BOS, EOS]),
        (True, True, "</s>", [BOS, EOS]),
        (False, True, "<s>a", [BOS, A, EOS]),
        (False, True, "a</s></s>", [A, EOS, EOS]),
        (False, False, "<s>a</s>", [BOS, A, EOS]),
        (False, False, "a", [A]),
    ],
)
def test_a_text_gets_what_the_model_wants_around_it_and_it_does_not_bring(
    add_bos: bool, add_eos: bool, text: str, tokens: list[int], tmp_path: Path
) -> None:
    path = write_scripted(tmp_path / "m.gguf", add_bos=add_bos, add_eos=add_eos)
    with vocabulary_of(path) as vocabulary:
        assert vocabulary.tokenize(text.encode(), add_special=True) == tokens


def test_a_beginning_that_is_read_as_text_is_none(scripted: Path) -> None:
    with vocabulary_of(scripted) as vocabulary:
        tokens = vocabulary.tokenize(b"<s>", add_special=True, parse_special=False)
        assert tokens == [BOS, *map(token_of, b"<s>")]


def test_a_text_that_is_beginning_and_end_in_one_gets_both(tmp_path: Path) -> None:
    path = write_scripted(tmp_path / "m.gguf", add_eos=True, bos=EOS)
    with vocabulary_of(path) as vocabulary:
        assert vocabulary.tokenize(b"</s>", add_special=True) == [EOS, EOS]


def test_an_encoder_wants_both_of_its_ends_once(tmp_path: Path) -> None:
    path = random_bert(1, gguf.PoolingType.MEAN).write(tmp_path / "bert.gguf")
    with vocabulary_of(path) as vocabulary:
        for text in ("a", f"{CLS}a", f"a{SEP}", f"{CLS}a{SEP}"):
            tokens = vocabulary.tokenize(text.encode(), add_special=True)
            assert [WORDS[token] for token in tokens] == [CLS, "a", SEP]


@pytest.fixture(
    scope="module",
    params=[
        "bos", "eos", "both", "neither",
        pytest.param("smollm2", marks=pytest.mark.model),
        pytest.param("gemma3", marks=pytest.mark.model),
    ],
)  # fmt: skip
def driver(request: pytest.FixtureRequest, model_folder: Path) -> Iterator[Driver]:
    """Models that want different things around a text, with a template that brings both."""
    kind = request.param
    if kind in {"smollm2", "gemma3"}:
        path = request.getfixturevalue(kind)
    else:
        wanted = {"add_bos": kind in {"bos", "both"}, "add_eos": kind in {"eos", "both"}}
        path = write_scripted(model_folder / f"wants-{kind}.gguf", **wanted)
    made = open_driver(path, context=256, chat_template=CHAT)
    yield made
    made.engine.close()


bounded = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@bounded
@given(text=texts)
def test_a_prompt_costs_what_tokenize_counts(text: str, driver: Driver) -> None:
    counted = driver.ask(TokenizeRequest(text=text))
    assume(counted.ids)
    generation = driver.read(ask(text, max_tokens=1))
    assert generation.end.usage.prompt_tokens == len(counted.ids)


@bounded
@given(text=said)
def test_a_chat_costs_what_tokenize_counts_of_its_prompt(text: str, driver: Driver) -> None:
    assume(not any(mark in text for mark in MARKS))
    request = chat(text, max_tokens=1)
    prompt = driver.ask(ApplyTemplateRequest(messages=request.messages)).text
    counted = driver.ask(TokenizeRequest(text=prompt))
    for same in (request, ask(prompt, max_tokens=1)):
        assert driver.read(same).end.usage.prompt_tokens == len(counted.ids)


@pytest.mark.parametrize("encoder", [True, False])
def test_an_input_costs_what_tokenize_counts(encoder: bool, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    if encoder:
        random_bert(1, gguf.PoolingType.MEAN).write(path)
    else:
        write_scripted(path, add_eos=True)
    asker = open_asker(path, embeddings=True, pooling="mean")
    for text in ("a", "<s>a", "a</s>", f"{CLS} a", f"a {SEP}", f"{CLS}{SEP}"):
        vectors, tokens = asker.run(EmbedRequest(inputs=(text,)), TokenizeRequest(text=text))
        assert vectors.usage.prompt_tokens == len(tokens.ids)
    asker.engine.close()
