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


def test_a_context_that_nobody_has_set_is_asked_for() -> None:
    unset = Filling(model="m", port=9, context=None, slots=2)
    with pytest.raises(ConfigurationError, match="set context"):
        filled("serve {port} -c {ctx}", unset)
    assert filled("serve {port}", unset) == ["serve", "9"]
