# SPDX-License-Identifier: GPL-3.0-only
"""All that a backend and its engines keep to."""

from __future__ import annotations

from modeld.testing.backend.capabilities import CapabilityChecks
from modeld.testing.backend.closing import ClosingChecks
from modeld.testing.backend.declarations import DeclarationChecks
from modeld.testing.backend.generating import GenerationChecks
from modeld.testing.backend.leaving import LeavingChecks
from modeld.testing.backend.lives import LifeChecks
from modeld.testing.backend.loading import LoadingChecks
from modeld.testing.backend.sampling import SamplingChecks
from modeld.testing.backend.unary import UnaryChecks


class BackendContract(
    LifeChecks,
    ClosingChecks,
    UnaryChecks,
    CapabilityChecks,
    LeavingChecks,
    SamplingChecks,
    GenerationChecks,
    LoadingChecks,
    DeclarationChecks,
):
    """What every backend keeps to, with simple engines, step engines and engines of its own.

    A subclass has a ``backend`` and a ``model``; see
    :class:`~modeld.testing.backend.subject.BackendSubject` for what else it may have.
    """
