# SPDX-License-Identifier: GPL-3.0-only
"""Decides which host gets a request. Pure: no clock, no Ray, no waiting.

Among hosts that are equally good the choice is by rendezvous hashing (Thaler and Ravishankar,
"Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6, 1998), so
that several ingresses that know the same agree without a word, and so that a new host takes over
its share and nothing else moves.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

MOST_RANKED: Final = 8
"""So many hosts are named for one request; nobody tries more."""

BUSY: Final = 2.0
"""Requests per slot, running and queued, from which a host counts as busy with a model."""

USUAL_SLOTS: Final = 4
"""The slots of a model that no host has had yet."""

DISPROVED_AFTER: Final = 2
"""So many reports of a host that do not know a model are newer than what was sent to it, and the
model is not there. One may have been on its way already."""

_MASK: Final = (1 << 64) - 1
_UNLIMITED: Final = 1 << 80
_NOTHING: Final[Mapping[str, int]] = {}


@dataclass(frozen=True, slots=True)
class ModelView:
    """What a host says of one model that it has in memory, or on its way there."""

    running: int = 0
    queued: int = 0
    slots: int = 1
    most_queued: int = 32

    @property
    def load(self) -> float:
        """Return the number of requests per slot."""
        return (self.running + self.queued) / max(1, self.slots)

    @property
    def is_full(self) -> bool:
        """Return whether one more request would be refused."""
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
    """What one ingress knows of the hosts: what they say, and what it has sent them since.

    Reports are a second old. What was sent to a host after its last one is counted here, or all
    requests of that second would go to the host that looked best at its beginning.
    """

    def __init__(self) -> None:
        self._views: dict[str, HostView] = {}
        self._hashes: dict[str, int] = {}
        self._room: dict[
            str, tuple[int, int]
        ] = {}  # free bytes, and the hash: all that a scan reads
        self._holders: dict[str, set[str]] = {}
        self._sent: dict[str, dict[str, tuple[int, int]]] = {}
        self._since: dict[str, dict[str, int]] = {}
        self._slots: dict[str, int] = {}

    @property
    def hosts(self) -> Collection[str]:
        """Return all hosts that there are."""
        return self._views.keys()

    def update(self, view: HostView) -> None:
        """Take note of what a host says; what it has said already changes nothing."""
        old = self._views.get(view.id)
        if old is not None and old.seq == view.seq and old == view:
            return
        for model in old.models if old else ():
            self._holders[model].discard(view.id)
        for model, each in view.models.items():
            self._holders.setdefault(model, set()).add(view.id)
            self._slots[model] = each.slots
        self._views[view.id] = view
        self._since.pop(view.id, None)
        self._hashes.setdefault(view.id, _hash(view.id))
        self._disprove(view)
        self._measure(view)

    def remove(self, host: str) -> None:
        """Forget a host that is gone."""
        view = self._views.pop(host, None)
        self._hashes.pop(host, None)
        self._room.pop(host, None)
        self._since.pop(host, None)
        for model in (*(view.models if view else ()), *self._sent.pop(host, ())):
            self._holders[model].discard(host)

    def note_sent(self, wish: Wish, host: str) -> None:
        """Take note that a host was sent a request, which brings the model there.

        That it has the model is noted with the first one: renewed by every request, it could never
        be disproved.
        """
        view = self._views.get(host)
        if view is None:
            return
        since = self._since.setdefault(host, {})
        since[wish.model] = since.get(wish.model, 0) + 1
        if wish.model not in view.models:
            self._sent.setdefault(host, {}).setdefault(wish.model, (view.seq, wish.need_bytes))
            self._holders.setdefault(wish.model, set()).add(host)
            self._measure(view)

    def rank(self, wish: Wish) -> list[str]:
        """Return hosts, the best first; empty only if there are none, or not the ``only`` one.

        First come those that have the model or were just sent it, the chat's own before the others,
        then, once all of these are busy, those with room for it, then those that would have to
        evict. Hosts whose budget is too small come last: one of them says so to the client.
        """
        if wish.only:
            return [wish.only] if wish.only in self._views else []
        at_hand = [each for each in self._holders.get(wish.model, ()) if self._may(each, wish)]
        ranked, is_calm = self._by_load(at_hand, wish)
        if not is_calm:
            fitting, others = self._absent(wish, at_hand)
            ranked = fitting + ranked + others
        tried = dict.fromkeys(each for each in wish.exclude if each in self._views)
        ranked = list(dict.fromkeys([*ranked, *tried]))[:MOST_RANKED]
        return ranked or heapq.nsmallest(MOST_RANKED, self._views)

    def _by_load(self, hosts: Collection[str], wish: Wish) -> tuple[list[str], bool]:
        """Return those that have the model, and whether the first of them is calm.

        The chat's own comes first, then the calm ones by hash, then the others. A popular model is
        on hundreds of hosts, so it is written for speed.
        """
        seed, model, prefers = _hash(wish.key or wish.model) | 1, wish.model, wish.prefers
        views, hashes, since = self._views, self._hashes, self._since
        found: list[tuple[int, float, int, str]] = []
        for host in hosts:
            view, sent = views[host].models.get(model), since.get(host, _NOTHING).get(model, 0)
            if view is None:
                load = sent / max(1, self._slots.get(model, USUAL_SLOTS))
            else:
                load = (view.running + view.queued + sent) / (view.slots or 1)
                if view.queued >= view.most_queued > 0:
                    found.append((3, load, 0, host))
                    continue
            if host == prefers:
                found.append((0, load, 0, host))
            elif load < BUSY:
                found.append((1, 0.0, hashes[host] * seed & _MASK, host))
            else:
                found.append((2, load, hashes[host] * seed & _MASK, host))
        best = heapq.nsmallest(MOST_RANKED, found)
        is_calm = bool(best) and (best[0][0] == 1 or (best[0][0] == 0 and best[0][1] < BUSY))
        return [host for *_, host in best], is_calm

    def _absent(self, wish: Wish, at_hand: Collection[str]) -> tuple[list[str], list[str]]:
        """Return hosts without the model: those with room for it, and the others.

        It looks at all hosts, so it is written for speed.
        """
        seed, need, among = _hash(wish.model) | 1, wish.need_bytes, wish.among
        not_these = {*wish.exclude, *at_hand}
        fits: list[tuple[int, str]] = []
        short: list[tuple[HostView, int]] = []
        for host, (free, hashed) in self._room.items():
            if host in not_these or (among is not None and host not in among):
                continue
            if free >= need:
                fits.append((hashed * seed & _MASK, host))
            else:
                short.append((self._views[host], free))
        best = [host for _, host in heapq.nsmallest(MOST_RANKED, fits)]
        if len(best) == MOST_RANKED:
            return best, []
        return best, _by_what_they_could_free(short, need)[: MOST_RANKED - len(best)]

    def _measure(self, view: HostView) -> None:
        """Work out what a host has room for, less what it was just sent."""
        host, free = view.id, view.free_bytes
        if not view.takes_requests:
            self._room.pop(host, None)
            return
        if free is None or view.budget_bytes is None:
            free = _UNLIMITED
        for _, need in self._sent.get(host, {}).values():
            free -= need
        self._room[host] = free, self._hashes[host]

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


def _by_what_they_could_free(hosts: Iterable[tuple[HostView, int]], need: int) -> list[str]:
    """Return hosts without room: those with most free and evictable memory, then the too small."""
    ordered: list[tuple[int, int, str]] = []
    for view, free in hosts:
        budget = view.budget_bytes or 0
        if budget >= need:
            ordered.append((0, -(free + view.evictable_bytes), view.id))
        else:
            ordered.append((1, -budget, view.id))
    return [host for *_, host in heapq.nsmallest(MOST_RANKED, ordered)]


def _hash(text: str) -> int:
    """Return the same number for the same text in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
