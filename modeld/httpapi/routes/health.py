# SPDX-License-Identifier: GPL-3.0-only
"""``/healthz`` and ``/readyz``: whether the process lives, and whether it can serve."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from modeld.dialects.documents import Content, Parameter, ResponseDoc
from modeld.errors import ModelNotFoundError, UnauthorizedError
from modeld.httpapi.access.keys import Keys
from modeld.httpapi.exchange.writing.json_response import word
from modeld.httpapi.routes.operations import Operation
from modeld.interfaces import ModelService
from modeld.status import ServiceState

_READINESS = """\
Ready means that a model is loaded, or with the setting `readiness = "accepting"` that requests are
taken. `?model=` names one model, and needs a key where the server has keys, so that nobody
learns without one which models there are. A probe never loads anything. `source_late` says that
what is asked for may be among the models of a source that has not answered yet.
"""
_NOT_RUNNING = (state.value for state in ServiceState if state is not ServiceState.RUNNING)
_UNREADY = ("loading", "source_late", "invalid_model", *_NOT_RUNNING)


class Health:
    """Serves the probes; they need a key only where they name a model."""

    def __init__(self, service: ModelService, keys: Keys) -> None:
        self._service = service
        self._keys = keys

    async def alive(self, _request: Request) -> Response:
        """Respond that the process lives and its event loop turns."""
        return word("ok")

    async def ready(self, request: Request) -> Response:
        """Respond whether requests can be served now."""
        model = request.query_params.get("model")
        if model is not None:
            self._keys.check(request.scope)
        readiness = await self._service.ready(model)
        return word("ready") if readiness.ready else word(readiness.reason, 503)

    def operations(self) -> tuple[Operation, ...]:
        """Return the rows of the route table."""
        return (
            Operation(
                method="GET",
                path="/healthz",
                endpoint=self.alive,
                name="healthz",
                tag="state",
                summary="Tell whether the process lives",
                responses=(_word(200, "It does", "ok"),),
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
                        location="query",
                        description="id from GET /models; without it any model counts",
                        example="SmolLM2-135M-Instruct.Q4_1.gguf",
                    ),
                ),
                responses=(
                    _word(200, "They can", "ready"),
                    _word(503, "They cannot yet, or no longer", *_UNREADY),
                ),
                raises=(ModelNotFoundError, *((UnauthorizedError,) if self._keys else ())),
                public=True,
            ),
        )


def _word(status: int, description: str, *words: str) -> ResponseDoc:
    schema = {"type": "string", "enum": list(words)}
    content = Content(media_type="text/plain", schema=schema, example=words[0])
    return ResponseDoc(status=status, description=description, contents=(content,))
