# SPDX-License-Identifier: GPL-3.0-only
"""Vectors of real weights, against those of llama-cpp-python's own class for one text at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from asker import Asker, likeness, open_asker, vocabulary_of
from modeld_llama_cpp.tokens.text_splitting import TextSplitter
from numpy.typing import NDArray

from modeld import Message
from modeld.requests import ApplyTemplateRequest, DetokenizeRequest, TokenizeRequest

pytestmark = pytest.mark.model

CONTEXT = 128
TEXTS = (
    "The capital of France is Paris.",
    "Ein Hund läuft im Park, schön!",
    "日本の首都は東京です。",
    "The old man went down to the river and looked for his boat. " * 5,
    "x",
)


@pytest.fixture(params=["smollm2", "gemma3"], scope="module")
def model(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def expected(model: Path) -> dict[str, NDArray[np.float64]]:
    """The vector of each text by llama-cpp-python, alone."""
    theirs = llama_cpp.Llama(
        str(model),
        embedding=True,
        pooling_type=llama_cpp.LLAMA_POOLING_TYPE_MEAN,
        n_ctx=CONTEXT,
        n_batch=CONTEXT,
        n_ubatch=CONTEXT,
        n_threads=1,
        n_threads_batch=1,
        verbose=False,
    )
    found = {
        text: np.array(theirs.create_embedding(text)["data"][0]["embedding"]) for text in TEXTS
    }
    theirs.close()
    return found


@pytest.fixture(scope="module")
def asker(model: Path) -> Iterator[Asker]:
    options = {"embeddings": True, "pooling": "mean", "context": CONTEXT, "threads": 1}
    made = open_asker(model, **options, flash_attention="off")  # which rounds more coarsely
    yield made
    made.engine.close()


def test_vectors_alone_are_those_of_llama_cpp_python(
    asker: Asker, expected: dict[str, NDArray[np.float64]]
) -> None:
    for text, vector in expected.items():
        assert likeness(asker.vectors(text)[0], vector) > 0.9999


def test_vectors_in_company_are_those_of_llama_cpp_python(
    asker: Asker, expected: dict[str, NDArray[np.float64]]
) -> None:
    texts = [*TEXTS, *reversed(TEXTS)]
    for text, vector in zip(texts, asker.vectors(*texts), strict=True):
        assert likeness(vector, expected[text]) > 0.9999


def test_the_tokens_of_a_text_have_its_text(asker: Asker) -> None:
    for text in TEXTS:
        (tokens,) = asker.run(TokenizeRequest(text=text, add_special=False, with_pieces=True))
        (back,) = asker.run(DetokenizeRequest(tokens=tokens.ids))
        assert back.text == b"".join(tokens.pieces).decode() == text


def test_a_chat_becomes_the_prompt_of_the_models_template(smollm2: Path) -> None:
    made = open_asker(smollm2, embeddings=True, pooling="last", context=CONTEXT)
    request = ApplyTemplateRequest(messages=(Message(role="user", content="Hello"),))
    (prompt,) = made.run(request)
    assert prompt.text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    made.engine.close()


@pytest.mark.parametrize("parse_special", [True, False])
def test_a_text_that_is_cut_has_the_tokens_of_the_whole(
    parse_special: bool, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextSplitter, "STEP_BYTES", 16)
    ends = ("<|im_end|>", "<end_of_turn>", "\n\n", "  ", " <unused7> ", "\t\t\t")
    text = "".join(f"The old{end}man{end}{end}went ({end} down" for end in ends * 3).encode()
    with vocabulary_of(model) as vocabulary:
        assert len(vocabulary._splitter.pieces(text)) > 5
        options = {"add_special": True, "parse_special": parse_special}
        assert vocabulary.tokenize(text, **options) == vocabulary._read(text, **options)
