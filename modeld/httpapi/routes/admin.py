# SPDX-License-Identifier: GPL-3.0-only
"""``POST /admin/reload``: read the settings again."""

from __future__ import annotations

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from modeld.dialects.documents import BODY_ERRORS, Content, ResponseDoc
from modeld.errors import InvalidSettingsError, NotSupportedError
from modeld.httpapi.exchange.reading.json_body import read_no_body
from modeld.httpapi.exchange.writing.json_response import document
from modeld.httpapi.reload import Reload
from modeld.httpapi.routes.operations import Operation

_EXAMPLE = {"changed": ["max_queue_depth", "models"], "needs_restart": ["addr"]}


class ReloadDocument(BaseModel):
    """What a reload has changed."""

    changed: list[str] = Field(description="settings that are others now")
    needs_restart: list[str] = Field(description="settings that will be others after a restart")


class Admin:
    """Serves what is under ``/admin``."""

    def __init__(self, reload: Reload) -> None:
        self._reload = reload

    async def reload(self, request: Request) -> Response:
        """Reload, also when the client leaves meanwhile."""
        await read_no_body(request.scope, request.receive)
        change = await self._reload.reload()
        return document(
            ReloadDocument(changed=list(change.changed), needs_restart=list(change.needs_restart))
        )

    def operations(self) -> tuple[Operation, ...]:
        """Return the one row of the route table."""
        content = Content(media_type="application/json", model=ReloadDocument, example=_EXAMPLE)
        return (
            Operation(
                method="POST",
                path="/admin/reload",
                endpoint=self.reload,
                name="reload_settings",
                tag="state",
                summary="Read the settings again and go on with them",
                description="Only what has changed is touched, and no request is lost. Settings"
                " that cannot be used leave all as it was.",
                responses=(ResponseDoc(status=200, description="They count", contents=(content,)),),
                raises=(*BODY_ERRORS, InvalidSettingsError, NotSupportedError),
                changes_state=True,
            ),
        )
