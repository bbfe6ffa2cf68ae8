# SPDX-License-Identifier: GPL-3.0-only
"""How much this process has taken from the heap."""

from __future__ import annotations

import ctypes


class _Mallinfo(ctypes.Structure):
    """glibc's ``struct mallinfo2``; see ``man mallinfo``."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def used_bytes() -> int:
    """Return all that is allocated and not freed; 0 where there is no glibc 2.33 or later.

    Unlike the size of the process it does not depend on what was allocated and freed before.
    """
    function = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if function is None:
        return 0
    function.restype = _Mallinfo
    info = function()
    return int(info.uordblks + info.hblkhd)
