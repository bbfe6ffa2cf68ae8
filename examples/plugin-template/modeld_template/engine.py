# SPDX-License-Identifier: GPL-3.0-only
"""One loaded model, in a process of its own: whatever is heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from modeld import GenerateRequest, ModelSpec, SimpleEngine
from modeld.interfaces import ReportProgress


class TemplateEngine(SimpleEngine):
    """Says what it has read, and what it was asked. Put your runtime in its place."""

    def __init__(self, text: str, *, is_loud: bool) -> None:
        self._text = text
        self._is_loud = is_loud

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> TemplateEngine:
        """Load the model; ``progress`` is told how far that is, so that it does not look hung."""
        text = Path(spec.path).read_text(encoding="utf-8")
        progress(1.0)
        return cls(text, is_loud=options["loud"])

    def generate(self, request: GenerateRequest) -> Iterator[str]:
        """Yield the text piece by piece; ``max_tokens`` and ``stop`` are seen to outside."""
        asked = request.messages[-1].text if request.messages else request.prompt or ""
        for word in (*self._text.split(), *asked.split()):
            yield f" {word.upper() if self._is_loud else word}"
