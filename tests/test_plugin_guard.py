# SPDX-License-Identifier: GPL-3.0-only
import threading

import pytest

from modeld.plugin_guard import PluginFault, expect, guarded


def test_what_goes_well_is_passed_through() -> None:
    assert guarded("import", lambda: 7, 10.0) == 7
    assert guarded("import", lambda: None, 10.0) is None


def test_plugin_code_runs_on_a_thread_of_its_own() -> None:
    ours = threading.get_ident()

    assert guarded("import", threading.get_ident, 10.0) != ours


@pytest.mark.parametrize(
    "error", [ValueError("oops"), SystemExit("oops"), KeyboardInterrupt("oops")]
)
def test_whatever_is_raised_is_a_fault_that_names_it(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(PluginFault) as caught:
        guarded("import", fail, 10.0)

    assert str(caught.value) == f"import raised {type(error).__name__}: oops"
    assert caught.value.__cause__ is error


def test_a_fault_stays_what_it_is() -> None:
    fault = PluginFault("it brought nothing")

    def fail() -> None:
        raise fault

    with pytest.raises(PluginFault) as caught:
        guarded("import", fail, 10.0)

    assert caught.value is fault


def test_what_takes_too_long_is_left_behind() -> None:
    gate = threading.Event()

    with pytest.raises(PluginFault, match=r"import took longer than 0\.05 s"):
        guarded("import", gate.wait, 0.05)

    gate.set()


def test_an_expectation_names_the_thing_and_what_was_wanted() -> None:
    expect(True, 7, "a Backend")

    with pytest.raises(PluginFault, match="it brought 7, which is not a Backend"):
        expect(False, 7, "a Backend")
