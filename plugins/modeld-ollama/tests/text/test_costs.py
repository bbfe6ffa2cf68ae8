# SPDX-License-Identifier: GPL-3.0-only
"""What the last line says that a generation cost."""

from modeld_ollama.text.encoders import ending
from modeld_ollama.timing import Stopwatch

from modeld import Done, FinishReason, Usage


def test_a_model_that_was_made_to_fit_is_named_with_its_step_and_another_is_not() -> None:
    fitted = Done(finish_reason=FinishReason.STOP, usage=Usage(fit="context"))
    assert ending(fitted, Stopwatch(0.0))["fit"] == "context"
    plain = Done(finish_reason=FinishReason.STOP, usage=Usage())
    assert "fit" not in ending(plain, Stopwatch(0.0))
