# SPDX-License-Identifier: GPL-3.0-only
"""A kind of error that only an engine's worker knows comes out of it as what it is."""

from __future__ import annotations

import sys

import pytest

from modeld.errors import LoadFailedError, ModeldError
from tests.support.hosting.leaks import run
from tests.support.hosting.rigged import a_hosting, an_engine, ask, start


def check(error: ModeldError) -> None:
    assert "modeld_rig.quota" not in sys.modules, "this process must not know the class"
    assert isinstance(error, LoadFailedError)
    assert (error.code, error.status, error.retryable) == ("rig_quota_used", 402, False)
    assert error.message == "no tokens are left"


def test_a_request_fails_with_its_engines_own_error() -> None:
    async def main() -> None:
        async with an_engine("process") as engine:
            with pytest.raises(ModeldError) as caught:
                await ask(engine, quota=True)
            check(caught.value)
            assert caught.value.field == "model"

    run(main())


def test_a_load_fails_with_its_engines_own_error() -> None:
    async def main() -> None:
        async with a_hosting("process") as owner:
            with pytest.raises(ModeldError) as caught:
                await start(owner, load_fault="quota")
            check(caught.value)

    run(main())
