# SPDX-License-Identifier: GPL-3.0-only
"""Real models, from a program, within a real budget."""

from __future__ import annotations

import asyncio

import pytest

import modeld
from modeld import Models, Token
from modeld.errors import InvalidRequestError, NotSupportedError
from tests.support.gguf.real_models import GEMMA3, SMOLLM2, models_folder

pytestmark = pytest.mark.model

BUDGET_MB = 1500
OPTIONS = {GEMMA3: {"pooling": "mean", "context": 512}, SMOLLM2: {"context": 1024}}


async def checked_text(models: Models) -> None:
    prompt = "The capital of France is"
    said = await models.generate(SMOLLM2, prompt, max_tokens=3, temperature=0, logprobs=1)
    assert said.content.startswith(" Paris")
    assert len(said.logprobs) == said.usage.completion_tokens == 3
    tokens = await models.tokenize(SMOLLM2, prompt)
    assert await models.detokenize(SMOLLM2, tokens.ids) == prompt
    again = await models.generate(SMOLLM2, list(tokens.ids), max_tokens=3, temperature=0)
    assert again.content == said.content
    chat = [{"role": "user", "content": "Is Paris in France?"}]
    assert "Is Paris in France?" in await models.apply_template(SMOLLM2, chat)
    assert (await models.chat(SMOLLM2, chat, choice=["yes", "no"])).content in {"yes", "no"}


async def checked_vectors(models: Models) -> None:
    response = await models.embed(GEMMA3, ["a cat", "a kitten", "tax law"])
    cat, kitten, law = response.vectors

    def likeness(one: tuple[float, ...], other: tuple[float, ...]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert likeness(cat, cat) == pytest.approx(1, abs=1e-3)
    assert likeness(cat, kitten) > likeness(cat, law)


async def checked_refusals(models: Models) -> None:
    with pytest.raises(NotSupportedError, match="embed"):
        await models.embed(SMOLLM2, "a cat")
    with pytest.raises(InvalidRequestError, match="mirostat_ta"):
        await models.generate(SMOLLM2, "x", mirostat_ta=1)  # type: ignore[call-arg]
    assert (await models.generate(SMOLLM2, "x", max_tokens=1, mirostat=2)).content  # type: ignore[call-arg]


def test_a_program_uses_two_real_models_at_once_and_keeps_the_budget() -> None:
    async def main() -> None:
        async with modeld.open(
            models_dir=models_folder(), memory_budget_mb=BUDGET_MB, models=OPTIONS
        ) as models:
            await asyncio.gather(checked_text(models), checked_vectors(models))
            await checked_refusals(models)
            status = await models.status()
            assert 0 < status.held_bytes <= BUDGET_MB << 20
            async for chunk in models.stream_generate(SMOLLM2, "1, 2, 3,", max_tokens=500):
                assert isinstance(chunk, Token)
                break
            await models.unload(SMOLLM2)  # it waits for nobody, since nobody is left
            assert {each.model_id for each in (await models.status()).instances} == {GEMMA3}

    asyncio.run(main())
