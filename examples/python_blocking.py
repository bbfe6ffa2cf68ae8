# SPDX-License-Identifier: GPL-3.0-only
"""A chat in a script, without a server.

    python examples/python_blocking.py ~/models/llm tiny.gguf

Each line that you type is a turn; an empty one ends the chat.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import modeld


def chat(models: modeld.BlockingModels, model: str, turns: Iterable[str]) -> list[modeld.Message]:
    """Hold the chat and return all of it; what the model says is printed as it comes."""
    messages: list[modeld.Message] = []
    for turn in turns:
        messages.append(modeld.Message(role="user", content=turn))
        pieces = []
        for chunk in models.stream_chat(model, messages, max_tokens=200):
            if isinstance(chunk, modeld.Token):
                print(chunk.text, end="", flush=True)
                pieces.append(chunk.text)
        print()
        messages.append(modeld.Message(role="assistant", content="".join(pieces)))
    return messages


if __name__ == "__main__":
    folder, name = sys.argv[1:]
    with modeld.open_blocking(models_dir=folder) as opened:
        chat(opened, name, iter(lambda: input("> "), ""))
