# SPDX-License-Identifier: GPL-3.0-only
"""What a body refuses by name takes null, and the values that ask for what is so anyway."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from modeld.dialects.body import Strict, refused, wrong


class Body(Strict):
    never: Annotated[None, refused("is not served")] = None
    rarely: Annotated[None, refused("only false or 0", but=(False, 0, [], {}))] = None


@pytest.mark.parametrize("value", [None, False, 0, [], {}])
def test_what_is_so_anyway_counts_as_left_out(value: Any) -> None:
    assert Body.model_validate({"rarely": value, "never": None}) == Body()


@pytest.mark.parametrize("value", [True, 1, 0.0, "", [0], {"a": 1}])
def test_everything_else_is_refused_with_advice(value: Any) -> None:
    for name, advice in (("never", "is not served"), ("rarely", "only false or 0")):
        with pytest.raises(ValidationError, match=advice) as caught:
            Body.model_validate({name: value})
        assert caught.value.errors()[0]["loc"] == (name,)


def test_a_field_that_does_not_fit_is_named() -> None:
    error = wrong("a.b", "is too much")
    assert (error.message, error.field) == ("a.b: is too much", "a.b")
