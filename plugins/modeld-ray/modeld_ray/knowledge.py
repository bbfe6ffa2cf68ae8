# SPDX-License-Identifier: GPL-3.0-only
"""What an ingress knows of all hosts together: one list of models, one status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from modeld.model_names import ModelNames
from modeld.status import HostStatus, ServiceState, ServiceStatus
from modeld.values import ModelSpec
from modeld_ray.crossing import Cursor, HostReport, Pin

LATE_S: Final = 5.0
"""For so long a host that says nothing counts as late and not as gone: its models stay listed."""

FORGOTTEN_S: Final = 60.0
"""For so long a host that says nothing is shown with its error."""


class Knowledge:
    """The last report of each host, and what they come to."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[float, HostReport]] = {}
        self._specs: dict[str, tuple[ModelSpec, ...]] = {}
        self._models: Mapping[str, ModelSpec] = {}
        self._names = ModelNames(())
        self._present: frozenset[str] = frozenset()
        self._answered: frozenset[str] = frozenset()

    @property
    def hosts(self) -> frozenset[str]:
        """Return the hosts that have said something, not long ago."""
        return self._present

    @property
    def late(self) -> frozenset[str]:
        """Those of them that have not answered last: they hang, or the way to them does."""
        return self._present - self._answered

    @property
    def models(self) -> Sequence[ModelSpec]:
        """Return all models, each once, with the hosts that have it."""
        return tuple(self._models.values())

    def cursors(self) -> Mapping[str, Cursor]:
        """Return what to ask the hosts with."""
        return {
            host: Cursor(event_seq=report.event_seq, specs_version=report.specs_version)
            for host, (_, report) in self._reports.items()
        }

    def learn(self, reports: Iterable[HostReport], now_s: float) -> None:
        """Take note of what the hosts have said at the same time."""
        found = {report.host: report for report in reports}
        changed = False
        for host, report in found.items():
            self._reports[host] = now_s, report
            if report.specs is not None:
                self._specs[host] = report.specs
                changed = True
        for host, (said_s, _) in list(self._reports.items()):
            if host not in found and now_s - said_s > FORGOTTEN_S:
                del self._reports[host]
        self._answered = frozenset(found)
        present = frozenset(
            host for host, (said_s, _) in self._reports.items() if now_s - said_s <= LATE_S
        )
        if changed or present != self._present:
            self._present = present
            self._merge()

    def pins(self) -> Mapping[str, Pin]:
        """Return what was said last of the pin of each model, on any host that is there."""
        latest: dict[str, Pin] = {}
        for host in self._present:
            for model, pin in self._reports[host][1].pins.items():
                if model not in latest or pin.said_s > latest[model].said_s:
                    latest[model] = pin
        return latest

    def unaware(self) -> Iterable[tuple[str, str, Pin]]:
        """Yield hosts that do not know of a pin, with the model: those that have started since."""
        pins = self.pins()
        for host in sorted(self._present & self._answered):
            known = self._reports[host][1].pins
            for model, pin in pins.items():
                if model not in known or known[model].pinned != pin.pinned:
                    yield host, model, pin

    def reloads(self) -> Mapping[str, int]:
        """Return how often each host has taken over other settings."""
        return {host: report.reloads for host, (_, report) in self._reports.items()}

    def model(self, name: str) -> ModelSpec | None:
        """Return the model of this name, if there is exactly one."""
        found = self._names.find(name)
        return self._models[found[0]] if len(found) == 1 else None

    def had(self, name: str) -> bool:
        """Return whether a host that does not answer now had a model of this name."""
        gone = {
            spec.id: spec
            for host in self._specs.keys() - self._present
            for spec in self._specs[host]
        }
        return bool(gone) and bool(ModelNames(tuple(gone.values())).find(name))

    def status(self, uptime_s: float, state: ServiceState) -> ServiceStatus:
        """Return one status for the whole cluster."""
        here = [report for host, (_, report) in self._reports.items() if host in self._answered]
        each = [report.status for report in here]
        budgets = [status.budget_bytes for status in each]
        errors = [
            f"host {report.host}: {report.status.error}" for report in here if report.status.error
        ]
        if not here:
            errors.append("no host is up")
        return ServiceStatus(
            state=state,
            instances=tuple(instance for status in each for instance in status.instances),
            budget_bytes=None if None in budgets else sum(filter(None, budgets)),
            budget_origin=f"the sum of {len(here)} hosts",
            held_bytes=sum(status.held_bytes for status in each),
            margin_bytes=sum(status.margin_bytes for status in each),
            session_bytes=sum(status.session_bytes for status in each),
            loads_total=sum(status.loads_total for status in each),
            evictions_total=sum(status.evictions_total for status in each),
            uptime_s=uptime_s,
            warm_workers=sum(status.warm_workers for status in each),
            error="; ".join(errors) or None,
            last_error=next((status.last_error for status in each if status.last_error), None),
            prompt_tokens_total=sum(status.prompt_tokens_total for status in each),
            completion_tokens_total=sum(status.completion_tokens_total for status in each),
            hosts=tuple(self._host_statuses()),
        )

    def _host_statuses(self) -> Iterable[HostStatus]:
        for host, (_, report) in sorted(self._reports.items()):
            yield HostStatus(
                host=host,
                node=report.node,
                state=report.status.state,
                budget_bytes=report.status.budget_bytes,
                held_bytes=report.status.held_bytes,
                error=report.status.error
                if host in self._answered
                else "it does not answer, or is gone",
            )

    def _merge(self) -> None:
        self._specs = {host: self._specs[host] for host in self._reports if host in self._specs}
        merged: dict[str, ModelSpec] = {}
        holders: dict[str, list[str]] = {}
        for host in sorted(self._present):
            for spec in self._specs.get(host, ()):
                holders.setdefault(spec.id, []).append(host)
                known = merged.get(spec.id)
                if known is None or (known.problem is not None and spec.problem is None):
                    merged[spec.id] = spec
        self._models = {
            model: replace(spec, hosts=tuple(holders[model])) for model, spec in merged.items()
        }
        self._names = ModelNames(tuple(self._models.values()))
