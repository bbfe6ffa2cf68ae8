# SPDX-License-Identifier: GPL-3.0-only
"""Decides which host gets a request. Pure: no clock, no Ray, no waiting.

Among hosts that are equally good the choice is by rendezvous hashing (Thaler and Ravishankar,
"Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6, 1998), so
that several ingresses that know the same agree without a word, and so that a new host takes over
its share and nothing else moves.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

MOST_RANKED: Final = 8
"""So many hosts are named for one request; nobody tries more."""

BUSY: Final = 2.0
"""Requests per slot, running and queued, from which a host counts as busy with a model."""

DISPROVED_AFTER: Final = 2
"""So many reports of a host that do not know a model are newer than what was sent to it, and the
model is not there. One may have been on its way already."""

_MASK: Final = (1 << 64) - 1
_ODD: Final = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class ModelView:
    """What a host says of one model that it has in memory, or on its way there."""

    running: int = 0
    queued: int = 0
    slots: int = 1
    most_queued: int = 32

    @property
    def load(self) -> float:
        """Requests per slot."""
        return (self.running + self.queued) / max(1, self.slots)

    @property
    def is_full(self) -> bool:
        """Whether one more request would be refused."""
        return self.queued >= self.most_queued > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """What a host has said of itself last; ``seq`` counts its reports.

    ``budget_bytes`` of ``None`` is unlimited. ``evictable_bytes`` are held by models that nobody
    uses now.
    """

    id: str
    seq: int = 0
    budget_bytes: int | None = None
    free_bytes: int | None = None
    evictable_bytes: int = 0
    models: Mapping[str, ModelView]
    takes_requests: bool = True

    @classmethod
    def of(cls, host: str, stats: Mapping[str, Any]) -> HostView:
        """Return what :meth:`stats` has made plain data of; a host that said nothing is empty."""
        return cls(
            id=host,
            seq=stats.get("seq", 0),
            budget_bytes=stats.get("budget"),
            free_bytes=stats.get("free"),
            evictable_bytes=stats.get("evictable", 0),
            models={model: ModelView(*view) for model, view in stats.get("models", {}).items()},
            takes_requests=stats.get("takes", True),
        )

    def stats(self) -> dict[str, Any]:
        """Return it as small plain data: Ray sends it to every ingress."""
        return {
            "seq": self.seq,
            "budget": self.budget_bytes,
            "free": self.free_bytes,
            "evictable": self.evictable_bytes,
            "takes": self.takes_requests,
            "models": {
                model: (view.running, view.queued, view.slots, view.most_queued)
                for model, view in self.models.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is known of a request before it has a host.

    ``key`` is the same for the turns of one chat; ``prefers`` is the host that had its last turn.
    ``among`` are the hosts that have the model's file, ``None`` for all. ``exclude`` were tried and
    come last; with ``only`` no other host will do.
    """

    model: str
    need_bytes: int = 0
    key: str = ""
    prefers: str = ""
    exclude: Collection[str] = ()
    only: str = ""
    among: Collection[str] | None = None


class Placement:
    """What one ingress knows of the hosts: what they say, and what it has just sent them."""

    def __init__(self) -> None:
        self._views: dict[str, HostView] = {}
        self._hashes: dict[str, int] = {}
        self._holders: dict[str, set[str]] = {}
        self._sent: dict[str, dict[str, tuple[int, int]]] = {}

    @property
    def hosts(self) -> Collection[str]:
        """All hosts that there are."""
        return self._views.keys()

    def update(self, view: HostView) -> None:
        """Take note of what a host says."""
        old = self._views.get(view.id)
        for model in old.models if old else ():
            self._holders[model].discard(view.id)
        for model in view.models:
            self._holders.setdefault(model, set()).add(view.id)
        self._views[view.id] = view
        self._hashes.setdefault(view.id, _hash(view.id))
        self._disprove(view)

    def remove(self, host: str) -> None:
        """Forget a host that is gone."""
        view = self._views.pop(host, None)
        self._hashes.pop(host, None)
        for model in (*(view.models if view else ()), *self._sent.pop(host, ())):
            self._holders[model].discard(host)

    def note_sent(self, wish: Wish, host: str) -> None:
        """Take note that a host was sent a request, which brings the model there.

        What was noted first stands: renewed by every request, it could never be disproved.
        """
        view = self._views.get(host)
        if view is None or wish.model in view.models:
            return
        self._sent.setdefault(host, {}).setdefault(wish.model, (view.seq, wish.need_bytes))
        self._holders.setdefault(wish.model, set()).add(host)

    def rank(self, wish: Wish) -> list[str]:
        """Return hosts, the best first; empty only if there are none, or not the ``only`` one.

        First come those that have the model or were just sent it, the chat's own before the others,
        then, once all of these are busy, those with room for it, then those that would have to
        evict. Hosts whose budget is too small come last: one of them says so to the client.
        """
        if wish.only:
            return [wish.only] if wish.only in self._views else []
        at_hand = [each for each in self._holders.get(wish.model, ()) if self._may(each, wish)]
        ranked = self._by_load(at_hand, wish)
        if not ranked or not self._is_calm(ranked[0], wish.model):
            absent = heapq.nsmallest(MOST_RANKED, self._absent(wish, frozenset(at_hand)))
            fitting = [host for tier, _, host in absent if tier == _FITS]
            others = [host for tier, _, host in absent if tier != _FITS]
            ranked = fitting + ranked + others
        tried = dict.fromkeys(each for each in wish.exclude if each in self._views)
        ranked = list(dict.fromkeys([*ranked, *tried]))[:MOST_RANKED]
        return ranked or heapq.nsmallest(MOST_RANKED, self._views)

    def _by_load(self, hosts: list[str], wish: Wish) -> list[str]:
        """Return those that have the model: the chat's own, the calm ones by hash, the others."""
        seed = _hash(wish.key or wish.model)

        def order(host: str) -> tuple[int, float, int]:
            view = self._views[host].models.get(wish.model)
            if view is not None and view.is_full:
                return 3, view.load, 0
            if host == wish.prefers:
                return 0, 0.0, 0
            load = view.load if view else 0.0
            rank = -_mixed(self._hashes[host], seed)
            return (1, 0.0, rank) if load < BUSY else (2, load, rank)

        return sorted(hosts, key=order)

    def _is_calm(self, host: str, model: str) -> bool:
        view = self._views[host].models.get(model)
        return view is None or view.load < BUSY

    def _absent(self, wish: Wish, at_hand: frozenset[str]) -> Iterator[tuple[int, int, str]]:
        """Yield the tier, the order in it and the name of each host without the model."""
        seed = _hash(wish.model)
        need = wish.need_bytes
        among = self._views if wish.among is None else wish.among
        for host in among:
            view = self._views.get(host)
            if view is None or host in at_hand or not self._may(host, wish):
                continue
            if view.budget_bytes is None or view.free_bytes is None:
                yield _FITS, -_mixed(self._hashes[host], seed), host
                continue
            free = view.free_bytes - self._promised(host)
            if free >= need:
                yield _FITS, -_mixed(self._hashes[host], seed), host
            elif view.budget_bytes >= need:
                yield _EVICTS, -(free + view.evictable_bytes), host
            else:
                yield _TOO_SMALL, -view.budget_bytes, host

    def _promised(self, host: str) -> int:
        sent = self._sent.get(host)
        return sum(need for _, need in sent.values()) if sent else 0

    def _may(self, host: str, wish: Wish) -> bool:
        if host in wish.exclude or not self._views[host].takes_requests:
            return False
        return wish.among is None or host in wish.among

    def _disprove(self, view: HostView) -> None:
        """Forget what was sent to a host and is there, or has not come in two reports."""
        sent = self._sent.get(view.id, {})
        for model, (seq, _) in list(sent.items()):
            if model in view.models:
                del sent[model]
            elif view.seq >= seq + DISPROVED_AFTER or view.seq < seq:
                del sent[model]
                self._holders[model].discard(view.id)
            else:
                self._holders.setdefault(model, set()).add(view.id)


_FITS, _EVICTS, _TOO_SMALL = range(3)


def _hash(text: str) -> int:
    """Return the same number for the same text in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")


def _mixed(host: int, seed: int) -> int:
    """Return a number that looks random for each pair, without hashing texts for each host.

    It is the finalizer of splitmix64 (Steele et al., "Fast splittable pseudorandom number
    generators", OOPSLA 2014).
    """
    mixed = (host ^ (seed * _ODD)) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
