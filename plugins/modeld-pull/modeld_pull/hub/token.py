# SPDX-License-Identifier: GPL-3.0-only
"""The token for the hub. It is in no log, no error and no request to anybody else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from modeld.errors import ConfigurationError

VARIABLE: Final = "HF_TOKEN"


def token_of(token_file: str, environ: Mapping[str, str]) -> str | None:
    """Return the token: that of the setting ``token_file``, of ``HF_TOKEN``, or of the usual file.

    Raises:
        ConfigurationError: the file that is set cannot be read, or a token cannot be in a header.
    """
    if token_file:
        return _checked(_read(Path(token_file).expanduser()), token_file)
    if given := environ.get(VARIABLE, "").strip():
        return _checked(given, VARIABLE)
    usual = _usual_file(environ)
    try:
        return _checked(usual.read_text().strip(), str(usual)) or None
    except (OSError, UnicodeDecodeError):
        return None  # most have none


def _usual_file(environ: Mapping[str, str]) -> Path:
    """Return where Hugging Face's own tools keep it."""
    if path := environ.get("HF_TOKEN_PATH"):
        return Path(path).expanduser()
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(home).expanduser() / "token"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as exc:
        raise ConfigurationError(
            f"pull.token_file: {path} cannot be read: {exc.strerror}", field="token_file"
        ) from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"pull.token_file: {path} is no text", field="token_file") from exc


def _checked(token: str, where: str) -> str:
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigurationError(f"{where}: a token has printable ASCII characters and no spaces")
    return token
