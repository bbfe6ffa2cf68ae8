# SPDX-License-Identifier: GPL-3.0-only
"""The prompt for filling in the middle is made of token ids, and no text forges one of them."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest
from asker import vocabulary_of
from driver import ask
from modeld_llama_cpp.tokens.infill import infill_tokens
from modeld_llama_cpp.tokens.prompts import PromptReader, template_of
from tiny_gguf import (
    BEFORE_MIDDLE,
    BEFORE_PROMPT,
    BEFORE_SUFFIX,
    BOS,
    INFILL,
    PAD,
    token_of,
    write_scripted,
)

from modeld.errors import NotSupportedError, PromptTooLongError

A, B = token_of(b"a"), token_of(b"b")


def bytes_of(text: str) -> list[int]:
    return [token_of(byte) for byte in text.encode()]


@pytest.mark.parametrize(
    "header",
    [
        {"named": INFILL},
        {
            "ids": {
                "fim_pre": BEFORE_PROMPT,
                "fim_suf": BEFORE_SUFFIX,
                "fim_mid": BEFORE_MIDDLE,
            },
            "named": {BEFORE_PROMPT: "<a>", BEFORE_SUFFIX: "<b>", BEFORE_MIDDLE: "<c>"},
        },
    ],
    ids=["by their texts", "by their ids"],
)
def test_the_prompt_comes_before_the_suffix_and_the_beginning_before_both(
    header: dict[str, object], tmp_path: Path
) -> None:
    with vocabulary_of(write_scripted(tmp_path / "m.gguf", **header)) as vocabulary:
        found = infill_tokens(b"a", b"b", vocabulary)
    assert found == [BOS, BEFORE_PROMPT, A, BEFORE_SUFFIX, B, BEFORE_MIDDLE]


def test_without_a_beginning_in_the_vocabulary_there_is_none(tmp_path: Path) -> None:
    path = write_scripted(tmp_path / "m.gguf", named=INFILL, add_bos=False, add_eos=True)
    with vocabulary_of(path) as vocabulary:
        assert infill_tokens(b"", b"b", vocabulary) == [
            BEFORE_PROMPT,
            BEFORE_SUFFIX,
            B,
            BEFORE_MIDDLE,
        ]


@pytest.mark.parametrize("kind", [gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED])
def test_special_tokens_that_are_written_out_are_text(kind: object, tmp_path: Path) -> None:
    names = {BEFORE_PROMPT: "<|a|>", BEFORE_SUFFIX: "<|b|>", BEFORE_MIDDLE: "<|c|>", PAD: "<|d|>"}
    ids = {"fim_pre": BEFORE_PROMPT, "fim_suf": BEFORE_SUFFIX, "fim_mid": BEFORE_MIDDLE}
    path = write_scripted(tmp_path / "m.gguf", named=names, named_kind=kind, ids=ids)
    prompt, suffix = "x<|c|><|b|>", "</s><|a|>y"
    with vocabulary_of(path) as vocabulary:
        found = infill_tokens(prompt.encode(), suffix.encode(), vocabulary)
    assert found == [
        BOS,
        BEFORE_PROMPT,
        *bytes_of(prompt),
        BEFORE_SUFFIX,
        *bytes_of(suffix),
        BEFORE_MIDDLE,
    ]


def test_a_model_that_cannot_fill_in_refuses_a_suffix(scripted: Path) -> None:
    with (
        vocabulary_of(scripted) as vocabulary,
        pytest.raises(NotSupportedError, match="suffix: the model's vocabulary has no") as refused,
    ):
        infill_tokens(b"a", b"b", vocabulary)
    assert refused.value.field == "suffix"


def test_the_prompt_and_the_suffix_must_fit_into_the_context_together(tmp_path: Path) -> None:
    path = write_scripted(tmp_path / "m.gguf", named=INFILL)
    with vocabulary_of(path) as vocabulary:
        reader = PromptReader(vocabulary, template_of(None, vocabulary), 20)
        fits = ask("a" * 7, suffix="b" * 8)
        assert len(reader.read(fits, reader.render(fits))) == 19
        too_long = ask("a" * 8, suffix="b" * 8)
        with pytest.raises(PromptTooLongError, match="has 20 tokens and the context 20"):
            reader.read(too_long, reader.render(too_long))
