# SPDX-License-Identifier: GPL-3.0-only
"""The options for chat templates: Jinja, or the name of one of llama.cpp's. No runtime."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Final

NAMES: Final = (
    "bailing", "bailing-think", "bailing2", "chatglm3", "chatglm4", "chatml", "command-r",
    "deepseek", "deepseek-ocr", "deepseek2", "deepseek3", "exaone-moe", "exaone3", "exaone4",
    "falcon3", "gemma", "gigachat", "glmedge", "gpt-oss", "granite", "granite-4.0", "granite-4.1",
    "grok-2", "hunyuan-dense", "hunyuan-moe", "hunyuan-vl", "kimi-k2", "llama2", "llama2-sys",
    "llama2-sys-bos", "llama2-sys-strip", "llama3", "llama4", "megrez", "minicpm", "mistral-v1",
    "mistral-v3", "mistral-v3-tekken", "mistral-v7", "mistral-v7-tekken", "monarch", "openchat",
    "orion", "pangu-embedded", "phi3", "phi4", "rwkv-world", "seed_oss", "smolvlm", "solar-open",
    "vicuna", "vicuna-orca", "yandex", "zephyr",
)  # fmt: skip
"""llama.cpp's own templates, which are code and no Jinja; :mod:`.named_template` uses them."""

MAX_BYTES: Final = 256 << 10

_SUFFIXES: Final = frozenset({".jinja", ".jinja2", ".j2", ".tmpl", ".txt", ".json"})
_PATH: Final = re.compile(r"[\w.~/ -]+")
_LONGEST_SHOWN: Final = 60


def has_jinja(text: str) -> bool:
    """Return whether a text can say anything of a chat; else it would be the prompt of each."""
    return "{{" in text or "{%" in text


def check(text: str) -> None:
    """Check a text that is set as a template.

    Raises:
        ValueError: it is neither a template nor the name of one; it says what to give instead.
    """
    if text in NAMES:
        return
    if has_jinja(text):
        _check_size(len(text.encode(errors="replace")))
    elif not text.strip():
        raise ValueError("chat_template is empty; leave it out to use the model's own")
    elif _PATH.fullmatch(text) and ("/" in text or Path(text).suffix.lower() in _SUFFIXES):
        raise ValueError(
            f"chat_template is a template's text, and {_short(text)} looks like a file; give the"
            " file as chat_template_file"
        )
    else:
        raise ValueError(
            f"chat_template is {_short(text)}, which has no {{{{ }}}} or {{% %}} in it and is none"
            f" of llama.cpp's names for templates{_advice(text)}"
        )


def check_file(path: Path) -> None:
    """Check the file that is set as a template.

    Raises:
        ValueError: it cannot be read, is too large, or is no template.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise ValueError(f"chat_template_file {path.name!r} cannot be read: {reason}") from exc
    _check_size(len(data))
    if not has_jinja(text):
        raise ValueError(
            f"chat_template_file {path.name!r} is no chat template, as it has no {{{{ }}}} or"
            " {% %} in it"
        )


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"chat_template has more than {MAX_BYTES} bytes")


def _advice(text: str) -> str:
    near = difflib.get_close_matches(text.lower(), NAMES, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; these are {', '.join(NAMES)}"


def _short(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")
