# SPDX-License-Identifier: GPL-3.0-only
"""Commands that are filled in without a shell."""

from __future__ import annotations

import pytest
from modeld_upstream.spawning.command import Filling, filled

from modeld.errors import ConfigurationError

FILLING = Filling(model="/models/a b; rm.gguf", port=9, context=512, slots=2)


def test_what_is_filled_in_stays_one_argument() -> None:
    command = "'/opt/my server' -m {model} --port={port} -c {ctx} -np {slots} '{\"a\": 1}'"
    assert filled(command, FILLING) == [
        *("/opt/my server", "-m", "/models/a b; rm.gguf", "--port=9", "-c", "512", "-np", "2"),
        '{"a": 1}',
    ]


def test_a_context_that_all_slots_share_is_theirs_together() -> None:
    assert filled("serve {port} -c {ctx_total} -np {slots}", FILLING)[2:] == [
        *("-c", "1024", "-np", "2")
    ]


def test_a_context_that_nobody_has_set_is_asked_for() -> None:
    unset = Filling(model="m", port=9, context=None, slots=2)
    for hole in ("{ctx}", "{ctx_total}"):
        with pytest.raises(ConfigurationError, match=f"{hole}: set context"):
            filled(f"serve {{port}} -c {hole}", unset)
    assert filled("serve {port}", unset) == ["serve", "9"]
