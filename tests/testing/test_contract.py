# SPDX-License-Identifier: GPL-3.0-only
"""Checks run with pytest and without, within their deadline, and say what is wrong."""

from __future__ import annotations

import asyncio
import sys
import textwrap
import threading
from pathlib import Path
from unittest import SkipTest

import pytest

from modeld.testing.contract import (
    Contract,
    DisclaimedError,
    Outcome,
    UntestedError,
    assert_that,
    check,
    run,
)
from tests.testing.pytest_runs import run_pytest


class Some(Contract):
    """One check of each kind."""

    limit_s = 0.2
    is_closed = False

    @check()
    def test_it_is_right(self) -> None:
        """It is."""

    @check()
    async def test_it_is_wrong(self) -> None:
        """It is not."""
        await asyncio.sleep(0)
        assert_that(False, "it is wrong; mend it")

    @check("test_it_is_wrong")
    def test_it_goes_on(self) -> None:
        """It does not come to this."""

    @check("test_it_goes_on")
    def test_it_goes_on_further(self) -> None:
        """Nor to this."""

    @check()
    def test_it_is_not_for_this(self) -> None:
        """It says so."""
        raise DisclaimedError("it is not declared")

    @check()
    def test_it_lacks_something(self) -> None:
        """It says what."""
        raise UntestedError("give it one")

    @check()
    def test_it_exits(self) -> None:
        """It ends what must go on."""
        sys.exit(3)

    @check()
    async def test_it_waits(self) -> None:
        """It waits for ever, and is closed when it is given up."""
        try:
            await asyncio.Event().wait()
        finally:
            type(self).is_closed = True

    def test_nothing(self) -> None:
        """It is no check: an author's own test in the same class."""


def outcomes() -> dict[str, Outcome]:
    return {each.check: each for each in run(Some())}


def test_every_check_has_an_outcome_in_the_order_of_the_class() -> None:
    found = outcomes()
    assert list(found) == Some.checks()
    assert "test_nothing" not in found
    assert [each.verdict for each in found.values()] == [
        *("passed", "failed", "untested", "untested", "disclaimed", "untested"),
        *("failed", "failed"),
    ]


def test_an_outcome_says_why() -> None:
    found = outcomes()
    assert found["test_it_is_wrong"].why == "it is wrong; mend it"
    assert found["test_it_goes_on_further"].why == "it is wrong: this comes first"
    assert found["test_it_is_not_for_this"].why == "it is not declared"
    assert found["test_it_lacks_something"].why == "give it one"
    assert "raised SystemExit: 3" in found["test_it_exits"].why
    assert found["test_it_goes_on"].words == "it goes on"


def test_what_hangs_is_given_up_and_closed() -> None:
    (outcome,) = run(Some(), ["test_it_waits"])
    assert "took longer than 0.2 s" in outcome.why
    assert Some.is_closed
    assert not [each for each in threading.enumerate() if each.name == "modeld-check"]


def test_as_a_test_it_raises_what_pytest_understands() -> None:
    contract = Some()
    contract.test_it_is_right()
    contract.test_it_is_not_for_this()
    with pytest.raises(AssertionError, match="mend it"):
        contract.test_it_is_wrong()
    with pytest.raises(SkipTest, match="give it one"):
        contract.test_it_lacks_something()


AUTHORS = """
    import pytest
    from modeld.builtin.lru import LeastRecentlyUsed
    from modeld.testing import EvictionPolicyContract, FormatterContract

    class TestAttribute(EvictionPolicyContract):
        policy = LeastRecentlyUsed()

    class TestFixture(EvictionPolicyContract):
        @pytest.fixture
        def policy(self, tmp_path):
            return LeastRecentlyUsed()
"""


def test_an_author_names_a_subject_as_an_attribute_or_as_a_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(textwrap.dedent(AUTHORS))
    done = run_pytest(tmp_path)
    assert "16 passed" in done.stdout, done.stdout


def test_the_plugin_for_pytest_imports_nothing_of_modeld(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n\ndef test_it():\n"
        "    found = {name for name in sys.modules if name.split('.')[0] == 'modeld'}\n"
        "    assert found == {'modeld', 'modeld.testing', 'modeld.testing.pytest_plugin'}\n"
    )
    done = run_pytest(tmp_path)
    assert "1 passed" in done.stdout, done.stdout
