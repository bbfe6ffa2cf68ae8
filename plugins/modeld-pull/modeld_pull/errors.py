# SPDX-License-Identifier: GPL-3.0-only
"""What can go wrong with a pull, each kind with its code and its HTTP status."""

from __future__ import annotations

from modeld import ModeldError


class PullOffError(ModeldError):
    """The operator does not let clients pull, or not from there."""

    code = "pull_off"
    status = 403


class PullDeniedError(ModeldError):
    """The source does not give the file to this token, or to nobody without one."""

    code = "pull_denied"
    status = 403


class PullNotFoundError(ModeldError):
    """There is no such repository, revision, file or pull."""

    code = "pull_not_found"
    status = 404


class PullConflictError(ModeldError):
    """The file is being pulled already, or another one has its name."""

    code = "pull_conflict"
    status = 409


class PullCancelledError(ModeldError):
    """Somebody has cancelled the pull; what it has brought is kept for the next one."""

    code = "pull_cancelled"
    status = 409
    retryable = True


class PullsFullError(ModeldError):
    """As many pulls of clients run as may run at once."""

    code = "pulls_full"
    status = 429
    retryable = True


class PullFailedError(ModeldError):
    """The source cannot be reached, is silent, breaks off or is overloaded."""

    code = "pull_failed"
    status = 502
    retryable = True


class PullUnusableError(ModeldError):
    """What the source sends is not what it should be: other bytes, no model, a wrong redirect."""

    code = "pull_unusable"
    status = 502


class PullDiskError(ModeldError):
    """The disk has too little space, or the folder cannot be written."""

    code = "pull_disk"
    status = 507
