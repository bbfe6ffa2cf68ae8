# SPDX-License-Identifier: GPL-3.0-only
"""Which eviction policy decides: that of the settings, and another where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modeld.errors import ConfigurationError
from modeld.expectation import nearest
from modeld.interfaces import EvictionPolicy
from modeld.plugins.faults import NoteFault
from modeld.plugins.guarded_policy import GuardedPolicy
from modeld.settings import Settings

FALLBACK_POLICY: Final = "lru"
"""What decides where the policy of the settings is wrong."""


def check_policy(policies: Mapping[str, EvictionPolicy], settings: Settings) -> None:
    """Check that a plugin brings the policy that the settings name.

    Raises:
        ConfigurationError: none does.
    """
    wanted = settings.eviction_policy
    known = list(policies)
    if wanted not in known:
        raise ConfigurationError(
            f"eviction_policy: no installed plugin brings {wanted!r};"
            f" there is {', '.join(known) or 'none'}{nearest(wanted, known)}",
            field="eviction_policy",
        )


def choose_policy(
    policies: Mapping[str, EvictionPolicy], name: str, note: NoteFault, *, is_trusted: bool
) -> EvictionPolicy:
    """Return the policy of this name, and have the fallback decide where it is wrong.

    ``note`` is told what it does wrong. One that ``is_trusted`` is modeld's own.
    """
    return GuardedPolicy(policies[name], policies.get(FALLBACK_POLICY), note, is_trusted=is_trusted)
