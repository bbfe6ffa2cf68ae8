# SPDX-License-Identifier: GPL-3.0-only
"""``POST /plan``: what requests for some models would bring about if they came now."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from modeld.dialects.body import Strict
from modeld.dialects.documents import BODY_ERRORS, Content, ResponseDoc
from modeld.errors import (
    BackendUnavailableError,
    DrainingError,
    InvalidModelError,
    LoadFailedError,
    ModelNotFoundError,
    NotSupportedError,
)
from modeld.httpapi.exchange.disconnect import run_guarded, watch_client
from modeld.httpapi.exchange.reading.json_body import read_body
from modeld.httpapi.exchange.writing.json_response import document
from modeld.httpapi.routes.fit import FitItem, fit_item
from modeld.httpapi.routes.operations import Operation
from modeld.interfaces import ModelService
from modeld.sizes import mib_by_name, whole_mib
from modeld.status import ModelPlan, PlanOutcome

MOST_MODELS: Final = 64
"""So many models one request may ask about."""

_DESCRIPTION = """\
Nothing is loaded, nobody is evicted, and no model counts as used. What a request then brings
about is exactly this, unless something happens in between: the scheduler itself decides, on a copy
of what it knows. Each model is planned for as if it alone were asked for. Where an estimate leaves
open whether a model fits, it is measured first, which may take a second.
"""
_MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
_EXAMPLE = {
    "plans": [
        {
            "model": _MODEL,
            "outcome": "evicts",
            "needed_mb": 214,
            "short_mb": 64,
            "evicts": ["gemma-3-270m-it-Q4_K_M.gguf"],
            "wait_s": 0.42,
        }
    ]
}


class PlanBody(Strict):
    """The models that are asked about."""

    models: list[Annotated[str, Field(max_length=4096)]] = Field(
        min_length=1,
        max_length=MOST_MODELS,
        description="ids or other names of models; an empty one is that of requests without one",
    )


class PlanItem(BaseModel):
    """What a request for one model would bring about. Sizes are in MiB, rounded up."""

    model: str
    outcome: PlanOutcome = Field(
        description="resident: it is in memory; loading: it is on its way there; loads: its load"
        " would begin at once; evicts: once the models in evicts have left; waits: others must"
        " finish first, or it is leaving itself; refused: the request would be refused now, and may"
        " be served later; never: it is refused however long one waits"
    )
    needed_mb: int = Field(description="what a load reserves")
    short_mb: int = Field(
        description="how much of that is not free now; with never, how much more it is than there"
        " will ever be"
    )
    short_on_gpus_mb: dict[str, int] | None = Field(
        None,
        description="how much of short_mb is on which GPU, the rest being main memory; absent if"
        " nothing is short on one",
    )
    evicts: list[str] = Field(description="models that would leave memory for it")
    wait_s: float | None = Field(
        None, description="forecast of when it would be served; absent where nobody can say"
    )
    reason: str | None = Field(
        None, description="code of the error that the request would get; absent if none"
    )
    message: str | None = Field(None, description="its words")
    fit: FitItem | None = Field(
        None,
        description="what it would go without to fit; needed_mb is what it needs then; absent"
        " where it would be as configured",
    )
    host: str | None = Field(
        None, description="the host of a cluster that it would go to; absent on one machine"
    )


class PlanList(BaseModel):
    """A plan for each model, in their order."""

    plans: list[PlanItem]


class Plans:
    """Serves ``POST /plan``."""

    def __init__(self, service: ModelService, max_body_bytes: int) -> None:
        self._service = service
        self._max_body_bytes = max_body_bytes

    async def plan(self, request: Request) -> Response:
        """Respond with the plans, and measure no more for a client that leaves."""
        body = await read_body(PlanBody, request.scope, request.receive, self._max_body_bytes)
        plans = await run_guarded(self._planned(body), watch_client(request.receive))
        return document(PlanList(plans=plans))

    async def _planned(self, body: PlanBody) -> list[PlanItem]:
        plans = []
        for model in body.models:
            plans.append(_item(await self._service.plan(model)))
            # A rehearsal awaits nothing: 64 of them in a row would hold up everybody.
            await asyncio.sleep(0)
        return plans

    def operations(self) -> tuple[Operation, ...]:
        """Return the row of the route table."""
        content = Content(media_type="application/json", model=PlanList, example=_EXAMPLE)
        return (
            Operation(
                method="POST",
                path="/plan",
                endpoint=self.plan,
                name="plan",
                tag="models",
                summary="Say what requests for some models would bring about",
                description=_DESCRIPTION,
                responses=(ResponseDoc(status=200, description="The plans", contents=(content,)),),
                raises=(
                    *BODY_ERRORS,
                    ModelNotFoundError,
                    InvalidModelError,
                    BackendUnavailableError,
                    LoadFailedError,
                    NotSupportedError,
                    DrainingError,
                ),
                body=PlanBody,
                body_examples={"one": {"models": [_MODEL]}},
            ),
        )


def _item(plan: ModelPlan) -> PlanItem:
    return PlanItem(
        model=plan.model,
        outcome=plan.outcome,
        needed_mb=whole_mib(plan.needed_bytes),
        short_mb=whole_mib(plan.short_bytes),
        short_on_gpus_mb=mib_by_name(plan.short_on_gpus),
        evicts=list(plan.evicts),
        wait_s=None if plan.wait_s is None else round(plan.wait_s, 3),
        reason=plan.reason,
        message=plan.message,
        fit=fit_item(plan.fitting),
        host=plan.host or None,
    )
