# SPDX-License-Identifier: GPL-3.0-only
"""Runs a program under the system call rules of a systemd unit: ``confined.py RULES COMMAND …``.

systemd makes one seccomp filter of each rule and the kernel takes the strictest answer; so does
this, with libseccomp, which systemd itself uses. Everything else in a unit is not done here.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

ALLOW = 0x7FFF0000
ERRNO = 0x00050000
EQUAL, GREATER_OR_EQUAL, MASKED_EQUAL = 4, 5, 7
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
FAMILIES = 64


class Compare(ctypes.Structure):
    """libseccomp's ``struct scmp_arg_cmp``."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class Rules(NamedTuple):
    """What a unit says about system calls."""

    system_calls: Sequence[str]
    address_families: Sequence[str]
    deny_write_execute: bool


def _library() -> Any:
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    for name in ("seccomp_load", "seccomp_release"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(Compare),
    ]
    return library


class Filter:
    """One seccomp filter in the making."""

    def __init__(self, library: Any, default: int) -> None:
        self._library = library
        self._filter = ctypes.c_void_p(library.seccomp_init(default))

    def add(self, action: int, call: str, *compares: Compare) -> None:
        """Add a rule for one system call; one that this machine does not have is left out."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (Compare * len(compares))(*compares)
        added = self._library.seccomp_rule_add_array(
            self._filter, action, number, len(compares), array
        )
        if added:
            raise OSError(-added, f"no rule for {call}")

    def load(self) -> None:
        """Bind this process and all that it starts to the filter."""
        loaded = self._library.seccomp_load(self._filter)
        if loaded:
            raise OSError(-loaded, "the filter was not loaded")
        self._library.seccomp_release(self._filter)


def confine(rules: Rules) -> None:
    """Bind this process to the rules, which also sets ``no_new_privs``."""
    library = _library()
    allowed = {int(getattr(socket, family)) for family in rules.address_families}
    families = Filter(library, ALLOW)
    for family in set(range(FAMILIES)) - allowed:
        families.add(ERRNO | errno.EAFNOSUPPORT, "socket", Compare(0, EQUAL, family, 0))
    beyond = Compare(0, GREATER_OR_EQUAL, FAMILIES, 0)
    families.add(ERRNO | errno.EAFNOSUPPORT, "socket", beyond)
    families.load()
    if rules.deny_write_execute:
        memory = Filter(library, ALLOW)
        both = PROT_WRITE | PROT_EXEC
        memory.add(ERRNO | errno.EPERM, "mmap", Compare(2, MASKED_EQUAL, both, both))
        for call in ("mprotect", "pkey_mprotect"):
            memory.add(ERRNO | errno.EPERM, call, Compare(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC))
        memory.add(ERRNO | errno.EPERM, "shmat", Compare(2, MASKED_EQUAL, SHM_EXEC, SHM_EXEC))
        memory.load()
    calls = Filter(library, ERRNO | errno.EPERM)
    for call in rules.system_calls:
        calls.add(ALLOW, call)
    calls.load()


if __name__ == "__main__":
    confine(Rules(**json.loads(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])
