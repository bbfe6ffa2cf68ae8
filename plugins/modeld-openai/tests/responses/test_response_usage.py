# SPDX-License-Identifier: GPL-3.0-only
"""What a response object says that it cost."""

from modeld_openai.responses.writing.frame import _usage

from modeld import Done, FinishReason, Usage


def test_a_model_that_was_made_to_fit_is_named_with_its_step_and_another_is_not() -> None:
    fitted = Done(finish_reason=FinishReason.STOP, usage=Usage(fit="context"))
    assert _usage(fitted)["fit"] == "context"
    assert "fit" not in _usage(Done(finish_reason=FinishReason.STOP, usage=Usage()))
