# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from driver import Driver
from modeld_llama_cpp.native.abort import AbortFlag


def test_the_native_function_says_what_the_flag_is() -> None:
    flag = AbortFlag()
    returned = []
    for put in (flag.set, flag.clear, flag.set):
        put()
        assert flag._function is not None
        returned.append(flag._function(flag._address))
    assert returned == [True, False, True]


def test_a_platform_with_an_unknown_convention_gets_no_callback() -> None:
    flag = AbortFlag()
    flag._function = None
    assert not flag.attach(0)


def test_a_function_that_answers_wrongly_is_not_attached() -> None:
    flag = AbortFlag()
    flag._function = lambda _: True
    assert not flag.attach(0)


def test_the_engine_can_abort_here(scripted: Path, start: Callable[..., Driver]) -> None:
    assert start(scripted).engine._runner._can_abort
