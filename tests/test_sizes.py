# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest

from modeld.sizes import size_text


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (98362432, "93.8 MiB"),
        (5 << 30, "5.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_a_size_is_in_the_unit_that_keeps_it_short(size_bytes, expected):
    assert size_text(size_bytes) == expected
