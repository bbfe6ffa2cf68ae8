# SPDX-License-Identifier: GPL-3.0-only
"""A kind of error of the rig's own; nothing but the engine in its worker imports it."""

from typing import ClassVar, NoReturn

from modeld.errors import LoadFailedError


class QuotaUsedError(LoadFailedError):
    """No tokens are left."""

    code: ClassVar[str] = "rig_quota_used"
    status: ClassVar[int | None] = 402
    retryable: ClassVar[bool] = False


def exceed() -> NoReturn:
    """Raise it."""
    raise QuotaUsedError("no tokens are left", field="model")
