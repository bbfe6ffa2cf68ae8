# SPDX-License-Identifier: GPL-3.0-only
"""``GET /status``: what is in memory, what waits, and how much room there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from modeld.dialects.documents import Content, Parameter, ResponseDoc
from modeld.errors import InvalidRequestError
from modeld.httpapi.exchange.reading.query import whole_number
from modeld.httpapi.exchange.writing.json_response import document
from modeld.httpapi.routes.fit import FitItem, fit_item
from modeld.httpapi.routes.operations import Operation
from modeld.interfaces import ModelService
from modeld.sizes import mib_by_name, whole_mib
from modeld.status import (
    DeviceStatus,
    HostStatus,
    InstanceState,
    InstanceStatus,
    ServiceState,
    ServiceStatus,
)

USUAL_LIMIT: Final = 100
"""So many models are listed where the request does not say."""

MOST: Final = 1000
"""No response lists more models."""


class InstanceItem(BaseModel):
    """One model's state in memory."""

    model_id: str
    state: InstanceState
    last_used_unix: int = Field(description="in seconds; 0 means never")
    held_mb: int = Field(description="what it holds, in MiB, rounded up")
    est_vram_mb: int = Field(description="held_mb, as modeld-go calls it")
    held_on_gpus_mb: dict[str, int] | None = Field(
        None,
        description="how much of held_mb is on which GPU (gpu0 and so on), the rest being in main"
        " memory; absent if nothing is on one",
    )
    queue_len: int = Field(description="requests that wait in its queue")
    inflight: int = Field(description="requests that it works on")
    max_queue_depth: int
    slots: int = Field(description="requests that it can work on at once")
    pinned: bool = Field(description="whether it stays when others need room")
    priority: int = Field(
        0, description="its option priority: the lower ones leave first, and wait longer"
    )
    expires_in_s: float | None = Field(
        None,
        description="seconds until it leaves memory if nobody uses it from now on; absent if it"
        " stays",
    )
    pid: int | None = Field(None, description="the process that runs it")
    loads_total: int
    prompt_tokens_total: int = Field(
        description="tokens of prompts since the start; counted when a generation ends well"
    )
    completion_tokens_total: int = Field(description="tokens generated since the start")
    reason: str | None = Field(
        None,
        description="why it leaves memory, or the code of the error that it has failed with and is"
        " not tried for a while; absent otherwise",
    )
    last_error: str | None = None
    fit: FitItem | None = Field(
        None, description="what it goes without to fit; absent where it is as configured"
    )
    log_tail: list[str] = Field(description="the last lines that its runtime has logged")
    host: str | None = Field(None, description="the host it is on; absent on one machine")
    node: str | None = Field(None, description="the node of that host; absent on one machine")


class HostItem(BaseModel):
    """One host of a cluster."""

    host: str
    node: str = Field(description="the address of the machine it is on")
    state: ServiceState
    budget_mb: int = Field(description="memory for all of its models together; 0 means unlimited")
    held_mb: int = Field(description="memory that is taken or promised")
    error: str | None = Field(
        None, description="why nothing is known of it now; absent if it is well"
    )


class DeviceItem(BaseModel):
    """What models may hold and do hold of main memory, or of one GPU."""

    device: str = Field(description="main for main memory, gpu0 and so on for a GPU")
    budget_mb: int = Field(description="memory for all models together, now; 0 means unlimited")
    budget_origin: str = Field(description="how budget_mb came about, in words")
    held_mb: int = Field(description="memory that is taken or promised")
    margin_mb: int = Field(description="part of the budget that is kept free")


class StatusDocument(BaseModel):
    """The whole server. Sizes are in MiB, rounded up, and those of the budget of main memory."""

    state: ServiceState
    instances: list[InstanceItem] = Field(
        description="models that have a state, by their ids; one page of them"
    )
    instances_total: int = Field(description="how many there are on all pages")
    budget_mb: int = Field(description="memory for all models together, now; 0 means unlimited")
    budget_origin: str = Field(description="how budget_mb came about, in words")
    held_mb: int = Field(description="memory that is taken or promised")
    used_est_mb: int = Field(description="held_mb, as modeld-go calls it")
    margin_mb: int = Field(description="part of the budget that is kept free")
    sessions_mb: int = Field(
        description="what models that have left memory have left of their chats; it makes way for"
        " models"
    )
    devices: list[DeviceItem] | None = Field(
        None,
        description="the budgets of main memory and of each GPU that models can be on; absent where"
        " there is main memory only",
    )
    error: str | None = Field(None, description="what is wrong now; absent if nothing")
    last_error: str | None = Field(None, description="the latest failure of any model")
    settings_error: str | None = Field(
        None, description="why settings that were read again are not used; absent if they are"
    )
    loads_total: int
    evictions_total: int
    prompt_tokens_total: int = Field(description="tokens of all models' prompts since the start")
    completion_tokens_total: int = Field(description="tokens generated by all models")
    warmups_in_progress: int = Field(description="models that are being loaded")
    draining_count: int = Field(description="models that are being unloaded")
    warm_workers: int = Field(description="workers that wait for a model")
    uptime_seconds: float
    server_time_unix: int
    hosts: list[HostItem] | None = Field(
        None, description="the hosts of a cluster; absent on one machine"
    )


_EXAMPLE = {
    "state": "running",
    "instances": [
        {
            "model_id": "SmolLM2-135M-Instruct.Q4_1.gguf",
            "state": "ready",
            "last_used_unix": 1795365543,
            "held_mb": 190,
            "est_vram_mb": 190,
            "queue_len": 0,
            "inflight": 0,
            "max_queue_depth": 32,
            "slots": 4,
            "pinned": False,
            "priority": 0,
            "pid": 28956,
            "loads_total": 1,
            "prompt_tokens_total": 5,
            "completion_tokens_total": 4,
            "log_tail": [],
        }
    ],
    "instances_total": 1,
    "budget_mb": 600,
    "budget_origin": "memory_budget_mb",
    "held_mb": 190,
    "used_est_mb": 190,
    "margin_mb": 50,
    "sessions_mb": 44,
    "loads_total": 1,
    "evictions_total": 0,
    "prompt_tokens_total": 5,
    "completion_tokens_total": 4,
    "warmups_in_progress": 0,
    "draining_count": 0,
    "warm_workers": 0,
    "uptime_seconds": 20.331,
    "server_time_unix": 1795365543,
}


class Status:
    """Serves ``GET /status``."""

    def __init__(
        self, service: ModelService, settings_error: Callable[[], str | None] = lambda: None
    ) -> None:
        self._service = service
        self._settings_error = settings_error

    async def show(self, request: Request) -> Response:
        """Respond with a snapshot, with one page of the models that have a state."""
        limit = whole_number(request.query_params, "limit", 0, MOST)
        limit = USUAL_LIMIT if limit is None else limit
        after = request.query_params.get("after", "")
        status = await self._service.status()
        later = [instance for instance in status.instances if instance.model_id > after]
        later.sort(key=lambda instance: (instance.model_id, instance.host))
        return document(_document(status, _page(later, limit), self._settings_error()))

    def operations(self) -> tuple[Operation, ...]:
        """Return the one row of the route table."""
        content = Content(media_type="application/json", model=StatusDocument, example=_EXAMPLE)
        return (
            Operation(
                method="GET",
                path="/status",
                endpoint=self.show,
                name="show_status",
                tag="state",
                summary="Show what is loaded and how much room there is",
                description="A snapshot. It never loads a model and never counts as a use."
                " It lists the models that have a state: in memory or on their way, waited for,"
                " pinned, or failed when they were last loaded or used. All others are absent.",
                parameters=(
                    Parameter(
                        name="limit",
                        location="query",
                        description=f"most models to list; {USUAL_LIMIT} unless set",
                        between=(0, MOST),
                        example="100",
                    ),
                    Parameter(
                        name="after",
                        location="query",
                        description="list only models whose ids come after this one, which is the"
                        " last one of the page before",
                        example="SmolLM2-135M-Instruct.Q4_1.gguf",
                    ),
                ),
                raises=(InvalidRequestError,),
                responses=(
                    ResponseDoc(status=200, description="The snapshot", contents=(content,)),
                ),
            ),
        )


def _page(later: Sequence[InstanceStatus], limit: int) -> Sequence[InstanceStatus]:
    """Return the first so many, and what more hosts have of the last model: pages end with one."""
    page = list(later[:limit])
    for more in later[limit:] if page else ():
        if more.model_id != page[-1].model_id:
            break
        page.append(more)
    return page


def _device(device: DeviceStatus) -> DeviceItem:
    return DeviceItem(
        device=device.device,
        budget_mb=_budget_mib(device.budget_bytes),
        budget_origin=device.budget_origin,
        held_mb=whole_mib(device.held_bytes),
        margin_mb=whole_mib(device.margin_bytes),
    )


def _document(
    status: ServiceStatus, page: Sequence[InstanceStatus], settings_error: str | None
) -> StatusDocument:
    states = [instance.state for instance in status.instances]
    return StatusDocument(
        state=status.state,
        instances=[_item(instance) for instance in page],
        instances_total=len(status.instances),
        budget_mb=_budget_mib(status.budget_bytes),
        budget_origin=status.budget_origin,
        held_mb=whole_mib(status.held_bytes),
        used_est_mb=whole_mib(status.held_bytes),
        margin_mb=whole_mib(status.margin_bytes),
        sessions_mb=whole_mib(status.session_bytes),
        devices=[_device(each) for each in status.devices] if len(status.devices) > 1 else None,
        error=status.error,
        last_error=status.last_error,
        settings_error=settings_error,
        loads_total=status.loads_total,
        evictions_total=status.evictions_total,
        prompt_tokens_total=status.prompt_tokens_total,
        completion_tokens_total=status.completion_tokens_total,
        warmups_in_progress=states.count(InstanceState.LOADING),
        draining_count=states.count(InstanceState.DRAINING),
        warm_workers=status.warm_workers,
        uptime_seconds=round(status.uptime_s, 3),
        server_time_unix=int(time.time()),
        hosts=[_host_item(host) for host in status.hosts] or None,
    )


def _host_item(host: HostStatus) -> HostItem:
    return HostItem(
        host=host.host,
        node=host.node,
        state=host.state,
        budget_mb=_budget_mib(host.budget_bytes),
        held_mb=whole_mib(host.held_bytes),
        error=host.error,
    )


def _item(instance: InstanceStatus) -> InstanceItem:
    expires_in_s = instance.expires_in_s
    return InstanceItem(
        model_id=instance.model_id,
        state=instance.state,
        last_used_unix=instance.last_used_unix,
        held_mb=whole_mib(instance.held_bytes),
        est_vram_mb=whole_mib(instance.held_bytes),
        held_on_gpus_mb=mib_by_name(instance.held_on_gpus),
        queue_len=instance.queue_len,
        inflight=instance.inflight,
        max_queue_depth=instance.max_queue_depth,
        slots=instance.slots,
        pinned=instance.pinned,
        priority=instance.priority,
        expires_in_s=None if expires_in_s is None else round(expires_in_s, 3),
        pid=instance.pid,
        loads_total=instance.loads_total,
        prompt_tokens_total=instance.prompt_tokens_total,
        completion_tokens_total=instance.completion_tokens_total,
        reason=instance.reason,
        last_error=instance.last_error,
        fit=fit_item(instance.fitting),
        log_tail=list(instance.log_tail),
        host=instance.host or None,
        node=instance.node or None,
    )


def _budget_mib(size_bytes: int | None) -> int:
    # 0 is unlimited: one of which others have left nothing is shown as 1.
    return 0 if size_bytes is None else max(1, whole_mib(size_bytes))
