# SPDX-License-Identifier: GPL-3.0-only
"""Checks of the kinds of errors that plugins define: their codes and their HTTP statuses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

OwnKind: TypeAlias = tuple[str, int | None, bool]
"""What makes a plugin's kind of error known elsewhere: the code of the kind of modeld's that it is
derived from, its own status if it has one, and whether it is retryable."""

_CODE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_STATUSES: Final = range(400, 600)


def fault_of_kind(
    cls: type, code: object, status: object, owners: Mapping[str, type]
) -> str | None:
    """Return what is wrong with a kind of error of class ``cls``, or derived from it, if anything.

    ``owners`` are modeld's own kinds by their codes.
    """
    if not (isinstance(code, str) and _CODE.fullmatch(code)):
        return f"the code {code!r} is not small letters, digits and _"
    owner = owners.get(code)
    if owner is not None and not issubclass(cls, owner):
        return f"the code {code!r} is that of {owner.__name__}"
    if status is None:
        return None
    if type(status) is not int or status not in _STATUSES:
        return f"the status {status!r} is not one of HTTP from 400 to 599"
    return "it has a status and no code of its own; give it one" if owner else None
