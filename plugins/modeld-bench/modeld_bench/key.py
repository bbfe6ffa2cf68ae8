# SPDX-License-Identifier: GPL-3.0-only
"""The API key that requests carry. It never stands on a command line, which others can read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from modeld.errors import ConfigurationError

VARIABLE: Final = "MODELD_BENCH_API_KEY"


def api_key(file: str | None) -> str | None:
    """Return the first key in ``file``, or the environment's; none if there is neither.

    In the file, empty lines and those that begin with # do not count, as in a server's.

    Raises:
        ConfigurationError: the file has no key, or the key cannot be sent in a header.
    """
    if file is None:
        given = os.environ.get(VARIABLE, "").strip()
        return _checked(given, VARIABLE) if given else None
    try:
        text = Path(file).expanduser().read_text()
    except OSError as exc:
        raise ConfigurationError(f"--api-key-file: {file} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"--api-key-file: {file} is not text in UTF-8") from exc
    lines = [line.strip() for line in text.splitlines()]
    for line in lines:
        if line and not line.startswith("#"):
            return _checked(line, f"--api-key-file: {file}")
    raise ConfigurationError(f"--api-key-file: {file} has no key; write it on a line of its own")


def _checked(key: str, where: str) -> str:
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(f"{where}: a key has printable ASCII characters and no spaces")
    return key
