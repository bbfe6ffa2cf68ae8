# SPDX-License-Identifier: GPL-3.0-only
"""What a backend declares as steps is checked, and explained where a model needs them."""

from __future__ import annotations

from typing import Any

import pytest

from modeld import Options, Settings
from modeld.device_bytes import UNLIMITED, DeviceBytes
from modeld.errors import LoadFailedError
from modeld.plugins.host import PluginHost
from modeld.serving.models.explanation import explained
from modeld.serving.models.fit_trials import trials_of
from modeld.values import FitStep
from tests.serving.test_placed import STEP, Shrinking
from tests.support.serving.fakes import MIB, FakeBackend
from tests.support.serving.sources import a_spec


def trials(*steps: Any, **settings: Any) -> Any:
    backend = FakeBackend()
    backend.steps = steps
    return trials_of(backend, a_spec("a"), Options(), Settings(**settings), 100 * MIB)


def test_each_trial_has_the_changes_of_all_steps_before_it() -> None:
    idle = FitStep(name="more", gives_up="three", changes={"slots": 3})
    first, last = trials(STEP, idle)
    assert (first.changes, last.changes) == ({"slots": 1}, {"slots": 3})
    assert last.gives_up == f"{STEP.gives_up}; three"
    assert last.options == Options(slots=3)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("less", "which is not a FitStep with a name"),
        (FitStep(name="a b", gives_up="", changes={}), "which is not a FitStep with a name"),
        (FitStep(name="x", gives_up="", changes={"backend": "y"}), "'backend', which is fixed"),
        (FitStep(name="x", gives_up="", changes={"slots": 0}), "options that are wrong"),
        (FitStep(name="x", gives_up="", changes={"zzz": 0}), "options that are wrong"),
    ],
)
def test_a_step_that_cannot_be_is_the_backends_fault(step: object, says: str) -> None:
    with pytest.raises(LoadFailedError, match=says):
        trials(step)


def test_what_a_row_has_set_is_never_taken_back() -> None:
    with pytest.raises(LoadFailedError, match="changes 'slots', which is fixed"):
        trials(STEP, models={"*": {"slots": 4}})
    assert trials(STEP, fit=False) == ()


def test_the_explanation_has_the_options_with_which_a_model_fits() -> None:
    settings = Settings()
    host = PluginHost(settings)
    host.backends = {"speaker": Shrinking()}
    for most, value, origin in (
        (DeviceBytes(100 * MIB), 1, "fit, as estimated, in place of null"),
        (DeviceBytes(150 * MIB), None, "default"),
        (UNLIMITED, None, "default"),
    ):
        rows = explained(a_spec("a"), settings, host, most=most)
        found = {each.option: each for each in rows}
        assert (found["slots"].value, found["slots"].origin) == (value, origin)
        assert (found["fit"].value, found["fit"].origin) == (True, "setting fit")
