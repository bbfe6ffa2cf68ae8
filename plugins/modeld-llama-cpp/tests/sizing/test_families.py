# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from modeld_llama_cpp.sizing.families import ENCODERS, NOT_SERVED


def test_no_family_is_both_served_and_not() -> None:
    assert not ENCODERS & NOT_SERVED
