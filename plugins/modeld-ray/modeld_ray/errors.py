# SPDX-License-Identifier: GPL-3.0-only
"""What can go wrong in a cluster and on no single machine."""

from __future__ import annotations

from typing import Final

from modeld import ModeldError

RETRY_S: Final = 2.0
"""When a client may try again where a host is missing: Ray has begun another one by then."""


class HostLostError(ModeldError):
    """The host that served the request is gone: its process, its node or the way there."""

    code = "host_lost"
    retryable = True
    status = 502


class NoHostError(ModeldError):
    """No host is there to serve the request."""

    code = "no_host"
    retryable = True
    status = 503


class ModelQuarantinedError(ModeldError):
    """Hosts were lost again and again while they served requests for this model."""

    code = "model_quarantined"
    retryable = True
    status = 503
