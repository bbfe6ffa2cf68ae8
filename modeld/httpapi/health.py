# SPDX-License-Identifier: GPL-3.0-only
"""``/healthz`` and ``/readyz``: whether the process lives, and whether it can serve."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from modeld.errors import ModelNotFoundError
from modeld.httpapi.answers import word
from modeld.httpapi.operations import Answer, Content, Operation, Parameter
from modeld.interfaces import ModelService
from modeld.values import ServiceState

_READINESS = """\
Ready means that a model is loaded, or with the setting `readiness = "accepting"` that requests are
taken. `?model=` asks for one model. Asking never loads anything.
"""
_NOT_RUNNING = (state.value for state in ServiceState if state is not ServiceState.RUNNING)
_UNREADY = ("loading", "invalid_model", *_NOT_RUNNING)


class Health:
    """Serves the probes; neither needs a key."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    async def alive(self, _request: Request) -> Response:
        """The process lives and its event loop turns."""
        return word("ok")

    async def ready(self, request: Request) -> Response:
        """Requests can be served now."""
        readiness = await self._service.ready(request.query_params.get("model"))
        return word("ready") if readiness.ready else word(readiness.reason, 503)

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the route table."""
        return (
            Operation(
                method="GET",
                path="/healthz",
                endpoint=self.alive,
                name="healthz",
                tag="state",
                summary="Tell whether the process lives",
                answers=(_word(200, "It does", "ok"),),
                public=True,
                needs_service=False,
            ),
            Operation(
                method="GET",
                path="/readyz",
                endpoint=self.ready,
                name="readyz",
                tag="state",
                summary="Tell whether requests can be served now",
                description=_READINESS,
                parameters=(
                    Parameter(
                        name="model",
                        place="query",
                        description="id from GET /models; without it any model counts",
                        example="SmolLM2-135M-Instruct.Q4_1.gguf",
                    ),
                ),
                answers=(
                    _word(200, "They can", "ready"),
                    _word(503, "They cannot yet, or no longer", *_UNREADY),
                ),
                raises=(ModelNotFoundError,),
                public=True,
            ),
        )


def _word(status: int, description: str, *words: str) -> Answer:
    schema = {"type": "string", "enum": list(words)}
    content = Content(media_type="text/plain", schema=schema, example=words[0])
    return Answer(status=status, description=description, contents=(content,))
