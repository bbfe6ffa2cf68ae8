# SPDX-License-Identifier: GPL-3.0-only
"""One memory budget on this machine: a lock that says which process has it.

Two processes that each keep a budget know nothing of each other, and together they may hold twice
as much. The lock is the system's (``flock``): it ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Final
from weakref import WeakSet

from modeld.errors import StartError
from modeld.machine.files import Machine
from modeld.settings import Settings

_FOLDERS: Final = ("/tmp", "/dev/shm")  # noqa: S108  (the file is the user's own, or it is not used)
_LONGEST_SHOWN: Final = 200

log = logging.getLogger("modeld.budget")


class BudgetLock:
    """Held by a service that has a number for a budget, from its start until its memory is free.

    One whose budget is ``auto`` needs none: it sees what others hold, and keeps to what they leave.

    The file is of this user and this machine, in the folder ``XDG_RUNTIME_DIR`` or in ``/tmp``. So
    it needs no home that can be written to, and other users can neither hold it nor be kept out.
    """

    def __init__(self, settings: Settings, machine: Machine) -> None:
        self._is_needed = settings.budget_bytes is not None and not settings.share_machine
        self._machine = machine
        self._file: int | None = None

    def acquire(self) -> None:
        """Take the lock where there is a budget for one; who has it already keeps it.

        Where no folder can be written to, nobody can be known to have it, which is logged.

        Raises:
            StartError: another process has it, or another service of this one.
        """
        if self._file is not None or not self._is_needed:
            return
        for path in self._paths():
            try:
                self._file = _locked(path)
            except OSError as exc:
                log.debug("no lock for the memory budget at %s: %s", path, exc)
                continue
            _held.add(self)
            return
        log.warning(
            "no folder for a lock can be written to, so other processes of modeld on this machine"
            " may have a memory budget too"
        )

    def release(self) -> None:
        """Give it back; without it, do nothing."""
        # The file stays: were it removed, two processes could hold two files of one name.
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _paths(self) -> Iterator[Path]:
        for folder in folders(self._machine):
            yield folder / f"modeld-{os.geteuid()}.lock"


def folders(machine: Machine) -> Iterator[Path]:
    """Yield where processes of one user on one machine may find each other."""
    if runtime := machine.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime)
    for folder in _FOLDERS:
        yield machine.path(folder)


_held: Final[WeakSet[BudgetLock]] = WeakSet()


def _forget() -> None:
    """Close the copies of a process that was forked off: they would keep what its parent gives
    back, and it does not serve what the parent does."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_forget)


def _locked(path: Path) -> int:
    """Return the descriptor of a file that is locked and says who has locked it.

    Raises:
        StartError: somebody else has locked it.
        OSError: the file cannot be opened or locked, or is another user's.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _lock(file)
    except BaseException:
        os.close(file)
        raise
    with suppress(OSError):  # a full disk keeps nobody from serving
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()} {_command()}".encode(errors="replace"), 0)
    return file


def _lock(file: int) -> None:
    if os.fstat(file).st_uid != os.geteuid():
        raise PermissionError("it is another user's")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.pread(file, 4 * _LONGEST_SHOWN, 0).decode(errors="replace").strip()
        raise _refusal(said) from None


def _command() -> str:
    """Return what this process is, as far as anybody may know: its options are its own business."""
    program, *arguments = sys.argv or [""]
    words = takewhile(lambda word: not word.startswith("-"), arguments)
    return shlex.join([Path(program).name or "python", *words])[:_LONGEST_SHOWN]


def _refusal(said: str) -> StartError:
    """Return the error for who comes second; ``said`` is what the holder has written."""
    pid, _, command = said.partition(" ")
    if pid == str(os.getpid()):
        who, advice = "another service of this process", "use that one, or close it first"
    else:
        known = f" (pid {pid}: {command})" if pid.isdecimal() else ""
        who = f"another process{known}"
        advice = "use that one, or end it; one process is enough for all requests"
    return StartError(
        f"{who} has the memory budget of this machine, and two budgets together may be more than"
        f" the memory that there is; {advice}. Or give each its part with memory_budget_mb, and"
        " set share_machine",
        field="memory_budget_mb",
    )
