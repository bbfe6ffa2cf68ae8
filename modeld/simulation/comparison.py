# SPDX-License-Identifier: GPL-3.0-only
"""Simulates every policy with every budget on the same requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from modeld.errors import ConfigurationError
from modeld.interfaces import EvictionPolicy, PluginKind
from modeld.plugins.guarded_policy import GuardedPolicy
from modeld.simulation.driver import Rules, Simulation
from modeld.simulation.figures import Figures
from modeld.simulation.workload import Workload


def compare(
    workload: Workload,
    policies: Sequence[EvictionPolicy],
    budgets_bytes: Sequence[int],
    rules: Rules,
) -> Iterator[Figures]:
    """Yield the figures of each policy with each budget, as they come.

    Raises:
        ConfigurationError: a policy is wrong; a server would have another one decide then, so
            figures would be of neither.
    """
    for budget_bytes in budgets_bytes:
        for policy in policies:
            faults: list[str] = []
            # Its own fallback, so that it is checked and decides on this thread.
            guarded = GuardedPolicy(policy, policy, partial(_note, faults))
            figures = Simulation(workload, guarded, budget_bytes, rules).run()
            if faults:
                raise ConfigurationError(faults[0])
            yield figures


def _note(
    faults: list[str],
    kind: PluginKind,  # noqa: ARG001  (as faults are told)
    name: str,  # noqa: ARG001
    message: str,
    cause: BaseException | None = None,  # noqa: ARG001
) -> None:
    faults.append(message)
