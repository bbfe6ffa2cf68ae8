# SPDX-License-Identifier: GPL-3.0-only
"""Prints the figures of docs/explanation/many-nodes.md: `.venv/bin/python` with this file.

Each host is the scheduler itself on a virtual clock, as in `modeld simulate`; the ingresses decide
with what `modeld_ray` decides with. Only the network, Ray and the models are left out.
"""

from __future__ import annotations

import argparse
import math
import pickle
import random
import time
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import fmean
from typing import Final

from modeld_ray.routing.placement import HostView, ModelView, Placement, Wish

from modeld.builtin.cost_aware import CostAware
from modeld.simulation.driver import Rules, Simulation
from modeld.simulation.generated import GIB, generated
from modeld.simulation.workload import Arrival, ModelFacts, Workload
from modeld.status import InstanceState

BUDGET: Final = 80 * GIB
REPORT_S: Final = 1.0
SPILLS: Final = 3
CHATS: Final = 10_000


class SimulatedHost:
    """The scheduler of one host, and what it says of itself."""

    def __init__(self, name: str, models: Mapping[str, ModelFacts]) -> None:
        self.name = name
        self.served = 0
        self.simulation = Simulation(
            Workload(models=models, arrivals=[]), CostAware(), BUDGET, Rules()
        )
        self._seq = 0

    def is_full(self, model: str) -> bool:
        """Return whether it would refuse one more request for the model."""
        entry = self.simulation.scheduler.entries.get(model)
        return entry is not None and len(entry.queue.waiting) >= entry.queue.max_depth

    def view(self, now_s: float) -> HostView:
        """Return what it says at this time."""
        self.simulation.pass_until(now_s)
        self._seq += 1
        scheduler = self.simulation.scheduler
        models, idle = {}, 0
        for model, entry in scheduler.entries.items():
            queue = entry.queue
            if entry.instances or queue.waiting:
                models[model] = ModelView(
                    len(queue.running), len(queue.waiting), queue.slots, queue.max_depth
                )
            if (
                not queue.running
                and not queue.waiting
                and entry.state(now_s) is InstanceState.READY
            ):
                idle += sum(each.held_bytes for each in entry.instances)
        return HostView(
            id=self.name,
            seq=self._seq,
            budget_bytes=BUDGET,
            free_bytes=int(BUDGET - scheduler.ledger.held_bytes),
            evictable_bytes=idle,
            models=models,
        )


@dataclass
class Counted:
    """What one run comes to."""

    decisions_s: array[float] = field(default_factory=lambda: array("d"))
    spilled: int = 0
    refused: int = 0
    updates: int = 0
    update_s: float = 0.0
    stats_bytes: int = 0


class ClusterRun:
    """Some hosts behind some ingresses, which learn of the hosts once a second."""

    def __init__(
        self, work: Workload, hosts: int, ingresses: int, *, has_affinity: bool, seed: int
    ) -> None:
        self._work = work
        self._hosts = {
            f"host-{number:04}": SimulatedHost(f"host-{number:04}", work.models)
            for number in range(hosts)
        }
        self._names = sorted(self._hosts)
        self._ingresses = [Placement() for _ in range(ingresses)]
        self._has_affinity = has_affinity
        self._chance = random.Random(seed)
        self.counted = Counted()

    def run(self) -> Iterator[str]:
        """Let all requests arrive and end, and yield what it has come to as lines."""
        report_s = 0.0
        for arrival in self._work.arrivals:
            while arrival.arrived_s >= report_s:
                self._report(report_s)
                report_s += REPORT_S
            self._send(arrival)
        yield from self._lines()

    def _report(self, now_s: float) -> None:
        views = [host.view(now_s) for host in self._hosts.values()]
        began_s = time.process_time()
        for placement in self._ingresses:
            for view in views:
                placement.update(view)
        self.counted.update_s += time.process_time() - began_s
        self.counted.updates += len(views) * len(self._ingresses)
        self.counted.stats_bytes = sum(len(pickle.dumps(view.stats())) for view in views[:20]) // 20

    def _send(self, arrival: Arrival) -> None:
        placement = self._chance.choice(self._ingresses)
        wish = Wish(
            model=arrival.model,
            need_bytes=self._work.models[arrival.model].held_bytes,
            key=f"{arrival.model}/{self._chance.randrange(CHATS)}",
        )
        began_s = time.process_time()
        ranked = placement.rank(wish)
        self.counted.decisions_s.append(time.process_time() - began_s)
        if not self._has_affinity:
            ranked = self._chance.sample(self._names, SPILLS + 1)
        for number, name in enumerate(ranked[: SPILLS + 1]):
            host = self._hosts[name]
            host.simulation.pass_until(arrival.arrived_s)
            if host.is_full(arrival.model):
                continue
            placement.note_sent(wish, name)
            host.simulation.arrive(arrival)
            host.served += 1
            self.counted.spilled += number
            return
        self.counted.refused += 1

    def _lines(self) -> Iterator[str]:
        figures = [host.simulation.finish() for host in self._hosts.values()]
        requests = len(self._work.arrivals)
        loads = sum(each.loads for each in figures)
        evictions = sum(each.evictions for each in figures)
        refused = self.counted.refused + sum(sum(each.refused.values()) for each in figures)
        waits = sorted((each.wait_p95_s, each.served) for each in figures if each.served)
        served = sum(each.served for each in figures)
        warm = sum(each.warm_share * each.requests for each in figures) / max(1, served)
        mean_s = sum(each.wait_mean_s * each.served for each in figures) / max(1, served)
        busy = [each.served for each in figures]
        decisions_ms = sorted(1000 * each for each in self.counted.decisions_s)
        yield f"loads per request {loads / requests:.4f}, evictions {evictions / requests:.4f}"
        spilled = self.counted.spilled / requests
        yield f"refused {refused / requests:.2%}, hosts passed over per request {spilled:.4f}"
        yield f"found their model ready {warm:.1%}, mean wait {mean_s:.2f} s"
        yield f"worst host's p95 wait {waits[-1][0]:.1f} s" if waits else "nobody was served"
        mean = max(1e-9, fmean(busy))
        yield f"busiest host / mean {max(busy) / mean:.2f}, idlest / mean {min(busy) / mean:.2f}"
        yield (
            f"decision p50 {_at(decisions_ms, 0.5):.3f} ms, p99 {_at(decisions_ms, 0.99):.3f} ms,"
            f" p99.9 {_at(decisions_ms, 0.999):.3f} ms"
        )
        yield (
            f"a report: {self.counted.stats_bytes} bytes,"
            f" {1e6 * self.counted.update_s / max(1, self.counted.updates):.1f} us to take in"
        )


def decisions() -> Iterator[str]:
    """Yield what a decision among a thousand hosts costs, as lines."""
    chance, placement = random.Random(1), Placement()
    calm, busy = ModelView(running=1, slots=4), ModelView(running=4, queued=4, slots=4)
    for number in range(1000):
        models = {f"model-{chance.randrange(10_000)}": calm for _ in range(10)}
        models |= {"everywhere": busy} if number < 300 else {}
        models |= {"somewhere": calm} if number < 3 else {}
        free = chance.randrange(20) * GIB
        placement.update(
            HostView(id=f"{number}", budget_bytes=BUDGET, free_bytes=free, models=models)
        )
    for model in ("somewhere", "nowhere", "everywhere"):
        wish, took_ms = Wish(model=model, need_bytes=8 * GIB, key="chat"), []
        for _ in range(300):
            began_s = time.process_time()
            placement.rank(wish)
            took_ms.append(1000 * (time.process_time() - began_s))
        took_ms.sort()
        yield f"{model}: least {took_ms[0]:.3f} ms, p99 {_at(took_ms, 0.99):.3f} ms"


def _at(ordered: list[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second")
    parser.add_argument("--ingresses", type=int, default=4)
    parser.add_argument("--no-affinity", action="store_true", help="send each to any host")
    parser.add_argument("--decisions", action="store_true", help="only what a decision costs")
    options = parser.parse_args()
    if options.decisions:
        print("\n".join(decisions()))
        return
    work = generated(
        "zipf",
        models=options.models,
        requests=options.requests,
        rate_per_s=options.rate,
        seed=1,
    )
    run = ClusterRun(
        work, options.hosts, options.ingresses, has_affinity=not options.no_affinity, seed=1
    )
    for line in run.run():
        print(line, flush=True)


if __name__ == "__main__":
    main()
