# SPDX-License-Identifier: GPL-3.0-only
"""Sends many prompts at once, without a server, and keeps within a memory budget.

    python examples/python_async.py ~/models/llm tiny.gguf < prompts.txt

The model's slots say how many run side by side; the others queue.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

import modeld


async def generations(models: modeld.Models, model: str, prompts: Iterable[str]) -> list[str]:
    """Return what the model makes of each prompt; where one fails, it says why."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_generation(models, model, prompt)) for prompt in prompts]
    return [task.result() for task in tasks]


async def _generation(models: modeld.Models, model: str, prompt: str) -> str:
    messages = [{"role": "user", "content": prompt}]
    try:
        said = await models.chat(model, messages, max_tokens=100, timeout_s=120)
    except modeld.ModeldError as error:
        return f"{error.code}: {error.message}"
    return said.content


async def _main(folder: str, model: str) -> None:
    prompts = [line.strip() for line in sys.stdin]
    settings = modeld.Settings(models_dir=folder, memory_budget_mb=4096, max_queue_depth=1000)
    async with modeld.open(settings) as models:
        made = await generations(models, model, prompts)
    for prompt, generation in zip(prompts, made, strict=True):
        print(f"{prompt}\n{generation}\n")


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
