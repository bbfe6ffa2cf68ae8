# SPDX-License-Identifier: GPL-3.0-only
"""``GET /status``: what is in memory, what waits, and how much room there is."""

from __future__ import annotations

import time

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from modeld.httpapi.answers import document
from modeld.httpapi.operations import Answer, Content, Operation
from modeld.interfaces import ModelService
from modeld.values import InstanceState, InstanceStatus, ServiceState, ServiceStatus


class InstanceItem(BaseModel):
    """One model's place in memory."""

    model_id: str
    state: InstanceState
    last_used_unix: int = Field(description="in seconds; 0 means never")
    est_vram_mb: int = Field(description="what it holds, in MiB, rounded up")
    queue_len: int = Field(description="requests that wait in front of it")
    inflight: int = Field(description="requests that it works on")
    max_queue_depth: int
    slots: int = Field(description="requests that it can work on at once")
    pinned: bool = Field(description="whether it stays when others need room")
    pid: int | None = Field(None, description="the process that runs it")
    loads_total: int
    prompt_tokens_total: int = Field(
        description="tokens of prompts since the start; counted when an answer ends well"
    )
    completion_tokens_total: int = Field(description="tokens generated since the start")
    last_error: str | None = None
    log_tail: list[str] = Field(description="the last lines that its runtime has logged")


class StatusDocument(BaseModel):
    """The whole server. Sizes are in MiB, rounded up."""

    state: ServiceState
    instances: list[InstanceItem]
    budget_mb: int = Field(description="memory for all models together; 0 means unlimited")
    used_est_mb: int = Field(description="memory that is taken or promised")
    margin_mb: int = Field(description="part of the budget that is kept free")
    error: str | None = Field(None, description="what is wrong now; absent if nothing")
    last_error: str | None = Field(None, description="the latest failure of any model")
    loads_total: int
    evictions_total: int
    warmups_in_progress: int = Field(description="models that are being loaded")
    draining_count: int = Field(description="models that are being unloaded")
    spare_workers: int = Field(description="workers that wait for a model")
    uptime_seconds: float
    server_time_unix: int


_EXAMPLE = {
    "state": "running",
    "instances": [
        {
            "model_id": "SmolLM2-135M-Instruct.Q4_1.gguf",
            "state": "ready",
            "last_used_unix": 1795365543,
            "est_vram_mb": 190,
            "queue_len": 0,
            "inflight": 0,
            "max_queue_depth": 32,
            "slots": 4,
            "pinned": False,
            "pid": 28956,
            "loads_total": 1,
            "prompt_tokens_total": 5,
            "completion_tokens_total": 4,
            "log_tail": [],
        }
    ],
    "budget_mb": 600,
    "used_est_mb": 190,
    "margin_mb": 50,
    "loads_total": 1,
    "evictions_total": 0,
    "warmups_in_progress": 0,
    "draining_count": 0,
    "spare_workers": 0,
    "uptime_seconds": 20.331,
    "server_time_unix": 1795365543,
}


class Status:
    """Serves ``GET /status``."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    async def show(self, _request: Request) -> Response:
        """A snapshot."""
        return document(_document(await self._service.status()))

    def operations(self) -> tuple[Operation, ...]:
        """The one row of the route table."""
        content = Content(media_type="application/json", model=StatusDocument, example=_EXAMPLE)
        return (
            Operation(
                method="GET",
                path="/status",
                endpoint=self.show,
                name="show_status",
                tag="state",
                summary="Show what is loaded and how much room there is",
                description="A snapshot. It never loads a model and never counts as a use.",
                answers=(Answer(status=200, description="The snapshot", contents=(content,)),),
            ),
        )


def _document(status: ServiceStatus) -> StatusDocument:
    states = [instance.state for instance in status.instances]
    return StatusDocument(
        state=status.state,
        instances=[_item(instance) for instance in status.instances],
        budget_mb=_mib(status.budget_bytes or 0),
        used_est_mb=_mib(status.held_bytes),
        margin_mb=_mib(status.margin_bytes),
        error=status.error,
        last_error=status.last_error,
        loads_total=status.loads_total,
        evictions_total=status.evictions_total,
        warmups_in_progress=states.count(InstanceState.LOADING),
        draining_count=states.count(InstanceState.DRAINING),
        spare_workers=status.spare_workers,
        uptime_seconds=round(status.uptime_s, 3),
        server_time_unix=int(time.time()),
    )


def _item(instance: InstanceStatus) -> InstanceItem:
    return InstanceItem(
        model_id=instance.model_id,
        state=instance.state,
        last_used_unix=instance.last_used_unix,
        est_vram_mb=_mib(instance.held_bytes),
        queue_len=instance.queue_len,
        inflight=instance.inflight,
        max_queue_depth=instance.max_queue_depth,
        slots=instance.slots,
        pinned=instance.pinned,
        pid=instance.pid,
        loads_total=instance.loads_total,
        prompt_tokens_total=instance.prompt_tokens_total,
        completion_tokens_total=instance.completion_tokens_total,
        last_error=instance.last_error,
        log_tail=list(instance.log_tail),
    )


def _mib(size_bytes: int) -> int:
    """Rounded up, so that what is held never looks smaller than it is."""
    return -(-size_bytes >> 20)
