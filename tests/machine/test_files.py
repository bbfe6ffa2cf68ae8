# SPDX-License-Identifier: GPL-3.0-only

from __future__ import annotations

from modeld.doctor.processors import (
    Processors,
)
from tests.support.doctor.another_machine import (
    machine,
)

FOUR = Processors(4, 4, 4, None)


def test_what_cannot_be_read_is_nothing(tmp_path):
    here = machine(tmp_path, {"/number": "12\n", "/word": "max\n", "/rows": "a: 1\na: 2\nb\n"})
    assert (here.text("/none"), here.number("/none"), here.table("/none")) == ("", None, {})
    assert (here.number("/number"), here.number("/word")) == (12, None)
    assert here.table("/rows") == {"a": "1"}
