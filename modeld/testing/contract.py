# SPDX-License-Identifier: GPL-3.0-only
"""What a contract is made of: checks with deadlines, which pytest runs and :func:`run` runs too."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, TypeAlias, cast
from unittest import SkipTest

Verdict: TypeAlias = Literal["passed", "failed", "disclaimed", "untested"]
Body: TypeAlias = Callable[[Any], Coroutine[Any, Any, None] | None]

PREFIX: Final = "test_"

_GIVEN_UP_S: Final = 2.0


class DisclaimedError(Exception):
    """The plugin declares that it does not do this, and so it is not asked to."""


class UntestedError(Exception):
    """The contract was not given what this check needs; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one check; ``why`` says what is wrong and what to do, or what was not done."""

    check: str
    verdict: Verdict
    why: str = ""

    @property
    def words(self) -> str:
        """Return the check's name as words."""
        return self.check.removeprefix(PREFIX).replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """One check; it tells nothing new where one of those named in ``after`` has failed."""

    body: Body
    after: tuple[str, ...]


class Contract:
    """What all plugins of one kind keep to.

    A subclass names what is to be checked, under the names in ``subjects``: as attributes of the
    class, as properties, or as pytest's fixtures. Each check is a method ``test_…`` that raises an
    ``AssertionError``; it runs on a thread of its own and is given up after ``limit_s``.
    """

    subjects: ClassVar[tuple[str, ...]] = ()
    limit_s: float = 30.0

    @classmethod
    def checks(cls) -> list[str]:
        """Return the names of all checks in the order in which they are declared."""
        names: dict[str, None] = {}
        for base in reversed(cls.__mro__):
            names.update(dict.fromkeys(name for name in vars(base) if name.startswith(PREFIX)))
        return [name for name in names if hasattr(getattr(cls, name), "check")]


def check(*after: str) -> Callable[[Body], Callable[[Contract], None]]:
    """Make a check of a method; ``after`` names the checks without which it says nothing new."""

    def decorate(body: Body) -> Callable[[Contract], None]:
        @functools.wraps(body)
        def test(self: Contract) -> None:
            try:
                _perform(body, self)
            except DisclaimedError:
                return
            except UntestedError as exc:
                raise SkipTest(str(exc)) from None

        del test.__dict__["__wrapped__"]  # pytest would take a coroutine function for the test
        cast("Any", test).check = _Check(body=body, after=after)
        return test

    return decorate


def run(
    contract: Contract, names: Sequence[str] | None = None, failed: Sequence[str] = ()
) -> Iterator[Outcome]:
    """Yield what came of each check, one after the other, without pytest.

    ``names`` are those to run, ``failed`` are others that are known to have failed.
    """
    useless = {name: name for name in failed}
    for name in contract.checks() if names is None else names:
        found: _Check = getattr(type(contract), name).check
        if missing := [each for each in found.after if each in useless]:
            useless[name] = useless[missing[0]]
            why = f"{useless[name].removeprefix(PREFIX).replace('_', ' ')}: this comes first"
            yield Outcome(check=name, verdict="untested", why=why)
            continue
        outcome = _outcome(name, found.body, contract)
        if outcome.verdict == "failed":
            useless[name] = name
        yield outcome


def assert_that(holds: object, what: str) -> None:
    """Raise an error with a sentence that says what was wrong and what to do."""
    if not holds:
        raise AssertionError(what)


def _outcome(name: str, body: Body, contract: Contract) -> Outcome:
    try:
        _perform(body, contract)
    except DisclaimedError as exc:
        return Outcome(check=name, verdict="disclaimed", why=str(exc))
    except UntestedError as exc:
        return Outcome(check=name, verdict="untested", why=str(exc))
    except AssertionError as exc:
        return Outcome(check=name, verdict="failed", why=str(exc))
    return Outcome(check=name, verdict="passed")


def _perform(body: Body, contract: Contract) -> None:
    """Run a check on a thread of its own.

    Raises:
        AssertionError: it failed, raised something else, or took too long.
    """
    work = _Work(body, contract)
    thread = threading.Thread(target=work.run, name="modeld-check", daemon=True)
    thread.start()
    thread.join(contract.limit_s)
    if thread.is_alive():
        where = _where(thread)
        work.give_up()
        thread.join(_GIVEN_UP_S)  # what can be closed is closed; what blocks is left behind
        raise AssertionError(
            f"it took longer than {contract.limit_s:g} s{where}; nothing may hang, also not for a"
            " while: wait with a deadline, and raise an error when it has passed"
        )
    if work.raised is not None:
        raise _as_failure(work.raised)


class _Work:
    """One check that runs on a thread."""

    def __init__(self, body: Body, contract: Contract) -> None:
        self.raised: BaseException | None = None
        self._body = body
        self._contract = contract
        self._cancel: Callable[[], object] = lambda: None

    def run(self) -> None:
        """Run the check and keep what it raises."""
        try:
            done = self._body(self._contract)
            if inspect.iscoroutine(done):
                asyncio.run(self._run(done))
        except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is what is looked for)
            self.raised = exc

    def give_up(self) -> None:
        """Cancel the check, so that what it has begun is closed."""
        self._cancel()

    async def _run(self, done: Coroutine[Any, Any, None]) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(done)
        self._cancel = functools.partial(loop.call_soon_threadsafe, task.cancel)
        await task


def _as_failure(exc: BaseException) -> BaseException:
    if isinstance(exc, AssertionError | DisclaimedError | UntestedError):
        return exc
    failure = AssertionError(
        f"it raised {type(exc).__name__}: {exc}{_origin(exc)}; only what the interface names may"
        " come out of it"
    )
    failure.__cause__ = exc
    return failure


def _origin(exc: BaseException) -> str:
    frames = traceback.extract_tb(exc.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _where(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001  (there is no other way)
    if frame is None:
        return ""
    return f", in {frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
