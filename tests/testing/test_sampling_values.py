# SPDX-License-Identifier: GPL-3.0-only
"""The values that the kit gives to sampling parameters are made from the table."""

from __future__ import annotations

import msgspec
import pytest

from modeld import Sampling
from modeld.sampling import COMMON, SamplingParameter
from modeld.testing.backend.sampling import sample_of


@pytest.mark.parametrize("row", COMMON, ids=lambda row: row.name)
def test_a_common_parameter_has_a_value_in_its_range_that_is_not_the_default(
    row: SamplingParameter,
) -> None:
    sampling = Sampling(**{row.name: sample_of(row)})
    assert msgspec.convert(msgspec.to_builtins(sampling), Sampling) == sampling
    assert sampling != Sampling()
