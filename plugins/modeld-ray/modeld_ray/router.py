# SPDX-License-Identifier: GPL-3.0-only
"""Ray Serve's router for hosts: a thin shell around :mod:`modeld_ray.routing.placement`.

What it imports is alpha in Ray 2.60. The order of the base classes matters: without ``FIFOMixin``
two calls made within one HTTP request wait for each other for ever, and without ``MultiplexMixin``
below it a host that was chosen for one request is handed to another.
"""

from __future__ import annotations

from typing import Any

from ray.serve.request_router import (
    FIFOMixin,
    MultiplexMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from modeld_ray.routing.placement import HostView, Placement, Wish

_ANY = Wish(model="")


class HostRouter(FIFOMixin, MultiplexMixin, RequestRouter):  # type: ignore[misc]  # Ray has no types
    """Sends each request to the host that :class:`Placement` names first."""

    def initialize_state(self, **_kwargs: Any) -> None:
        """Begin with no hosts; Ray calls it once."""
        self._placement = Placement()
        self._names: dict[str, ReplicaID] = {}

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Take note of which hosts there are and of what each has said last."""
        super().update_replicas(replicas)
        self._names = {each.replica_id.unique_id: each.replica_id for each in replicas}
        for gone in [host for host in self._placement.hosts if host not in self._names]:
            self._placement.remove(gone)
        for each in replicas:
            view = HostView.of(each.replica_id.unique_id, each.routing_stats or {})
            self._placement.update(view)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Return the hosts in their order, one in each rank: the next is tried if one is full.

        It is never nothing: Ray would ask again at once, for ever, and serve nobody meanwhile. A
        host that was not meant says so.
        """
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True
        ranked = self._placement.rank(_wish_of(pending_request))
        by_name = {each.replica_id.unique_id: each for each in candidate_replicas}
        chosen = [[by_name[host]] for host in ranked if host in by_name]
        return chosen or [candidate_replicas]

    def on_request_routed(
        self,
        pending_request: PendingRequest,
        replica_id: ReplicaID,
        result: Any,  # noqa: ARG002  (Ray's)
    ) -> None:
        """Remember where a model was sent: the host says so only a second later."""
        self._placement.note_sent(_wish_of(pending_request), replica_id.unique_id)

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        """Forget a host before the controller says that it is gone."""
        super().on_replica_actor_died(replica_id)
        self._placement.remove(replica_id.unique_id)


def _wish_of(pending: PendingRequest | None) -> Wish:
    wish = pending.kwargs.get("wish") if pending is not None else None
    return wish if isinstance(wish, Wish) else _ANY
