# SPDX-License-Identifier: GPL-3.0-only
"""The entry point of the plugin: the dialect, which is imported when a server is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from modeld import hookimpl

if TYPE_CHECKING:
    from modeld.dialects import Dialect
    from modeld.sampling import SamplingParameter


@hookimpl
def modeld_register_dialects(parameters: tuple[SamplingParameter, ...]) -> Iterable[Dialect]:
    """Return Anthropic's wire format, with a field for each of ``parameters``."""
    from modeld_anthropic.dialect import Anthropic  # noqa: PLC0415  (brings pydantic)

    return [Anthropic(parameters)]
