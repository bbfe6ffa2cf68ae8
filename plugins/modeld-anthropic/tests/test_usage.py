# SPDX-License-Identifier: GPL-3.0-only
"""What a response says that it cost."""

from modeld_anthropic.usage import usage_document

from modeld.responses import Usage


def test_a_model_that_was_made_to_fit_is_named_with_its_step_and_another_is_not() -> None:
    assert usage_document(Usage(prompt_tokens=2, fit="context"))["fit"] == "context"
    assert "fit" not in usage_document(Usage(prompt_tokens=2))
