# SPDX-License-Identifier: GPL-3.0-only
"""``/v1/responses``: to make a response, to look at it later, and to drop it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel

from modeld.dialects import (
    JSON,
    Call,
    DialectRoute,
    Encoder,
    GenerationRoute,
    PlainRoute,
    WholeResponse,
)
from modeld.dialects.body import wrong
from modeld.dialects.documents import NO_STORE, WORK_ERRORS, Content, Parameter, ResponseDoc
from modeld.errors import InvalidRequestError, NotFoundError, PromptRequiredError, TemplateError
from modeld.messages import Message
from modeld.requests import GenerateRequest
from modeld_openai.chat.route import NOT_BUFFERED
from modeld_openai.events import EVENTS
from modeld_openai.responses import examples
from modeld_openai.responses.documents import (
    DeletedResponse,
    OpenAIResponse,
    ResponseEvent,
    ResponseItemList,
)
from modeld_openai.responses.listing import MAX_LIMIT, documents_of, page
from modeld_openai.responses.reading.body import ResponsesBody
from modeld_openai.responses.store import ResponseStore, StoredResponse
from modeld_openai.responses.writing.encoder import ResponseObject, ResponseStream
from modeld_openai.responses.writing.frame import Frame, Keep

TAG: Final = "openai"
"""The group of these routes in the documents: that of the API's others."""

_CREATE = """\
With `"stream": true` each event has a name and is numbered. A stream that fails half-way ends with
the events `error` and `response.failed`. A client that closes its connection ends the work at once,
and nothing is stored.
"""
_ITEMS = """\
All of them, those of the responses before it too, without instructions. The last one comes first
unless `order` says otherwise.
"""
_ID = Parameter(
    name="response_id",
    location="path",
    description="the id of a response",
    example=examples.RESPONSE_ID,
)
_PAGE = (
    Parameter(name="after", location="query", description="the id of the item before the page"),
    Parameter(
        name="limit",
        location="query",
        description="how many items; 20 without it",
        between=(1, MAX_LIMIT),
    ),
    Parameter(
        name="order",
        location="query",
        description="desc (the default) has the last one first",
        choices=("asc", "desc"),
    ),
)


class ResponseRoutes:
    """The routes around one store."""

    def __init__(self, body: type[ResponsesBody], store: ResponseStore) -> None:
        self._body = body
        self._store = store

    def all(self) -> tuple[DialectRoute, ...]:
        """Return the routes."""
        return (
            self._create(),
            PlainRoute(
                path="/v1/responses/{response_id}/input_items",
                name="openai_response_input_items",
                tag=TAG,
                summary="List what a response has gone on from, in OpenAI's form",
                description=_ITEMS,
                respond=self._input_items,
                parameters=(_ID, *_PAGE),
                responses=_described(ResponseItemList, examples.ITEMS),
                raises=(NotFoundError, InvalidRequestError),
            ),
            PlainRoute(
                path="/v1/responses/{response_id}/cancel",
                name="openai_cancel_response",
                tag=TAG,
                summary="Cancel a response that is made in the background: there is none",
                method="POST",
                respond=self._cancel,
                parameters=(_ID,),
                raises=(NotFoundError, InvalidRequestError),
            ),
            *self._of_one(),
        )

    def _of_one(self) -> tuple[DialectRoute, ...]:
        return (
            PlainRoute(
                path="/v1/responses/{response_id}",
                name="openai_response",
                tag=TAG,
                summary="Show a stored response, in OpenAI's form",
                respond=self._show,
                parameters=(_ID,),
                responses=_described(OpenAIResponse, examples.RESPONSE),
                raises=(NotFoundError,),
            ),
            PlainRoute(
                path="/v1/responses/{response_id}",
                name="openai_delete_response",
                tag=TAG,
                summary="Drop a stored response, in OpenAI's form",
                method="DELETE",
                respond=self._delete,
                parameters=(_ID,),
                responses=_described(DeletedResponse, examples.DELETED),
                raises=(NotFoundError,),
            ),
        )

    def _create(self) -> GenerationRoute[ResponsesBody]:
        return GenerationRoute(
            path="/v1/responses",
            name="openai_responses",
            tag=TAG,
            summary="Say the next turn of a chat and keep it, in the form of OpenAI's responses",
            description=_CREATE,
            body=self._body,
            body_examples=examples.BODIES,
            requests=self._requests,
            encoder=self._encoder,
            responses=(
                ResponseDoc(
                    status=200,
                    description="The response; a late error is its last event",
                    contents=(
                        Content(media_type=JSON, model=OpenAIResponse, example=examples.RESPONSE),
                        Content(media_type=EVENTS, model=ResponseEvent, example=examples.STREAM),
                    ),
                    headers=(NO_STORE, NOT_BUFFERED),
                ),
            ),
            raises=(PromptRequiredError, TemplateError, *WORK_ERRORS),
        )

    def _requests(self, body: ResponsesBody, call: Call) -> Sequence[GenerateRequest]:
        before = self._previous(body, call)
        messages = body.messages(before.messages if before else ())
        return (body.request(messages, call.request_id),)

    def _encoder(self, body: ResponsesBody, call: Call) -> Encoder:
        frame = Frame(body, call)
        keep = self._keep(body, call, frame.id) if body.is_stored else None
        if body.stream is True:
            return ResponseStream(frame, keep)
        return ResponseObject(frame, keep)

    def _keep(self, body: ResponsesBody, call: Call, response_id: str) -> Keep:
        """Return what keeps the response, once it is there, with all that it goes on from."""
        before = self._previous(body, call)
        inputs = documents_of(body.input, response_id)
        messages = body.messages(before.messages if before else ())

        def keep(document: bytes, said: Message) -> None:
            response = StoredResponse(
                document=document,
                inputs=(*(before.context if before else ()), *inputs),
                messages=(*messages, said),
            )
            self._store.keep(call.caller, response_id, response)

        return keep

    def _previous(self, body: ResponsesBody, call: Call) -> StoredResponse | None:
        name = body.previous_response_id
        if name is None:
            return None
        found = self._store.find(call.caller, name)
        if found is None:
            raise wrong(
                "previous_response_id",
                "there is no such response: none was stored, newer ones took its memory, or the"
                " server was started since; send the whole chat as `input`",
            )
        return found

    def _found(self, call: Call) -> StoredResponse:
        found = self._store.find(call.caller, call.path["response_id"])
        if found is None:
            raise _missing()
        return found

    async def _show(self, call: Call) -> WholeResponse:
        return WholeResponse(pieces=(self._found(call).document,))

    async def _delete(self, call: Call) -> WholeResponse:
        name = call.path["response_id"]
        if not self._store.delete(call.caller, name):
            raise _missing()
        return WholeResponse.of({"id": name, "object": "response", "deleted": True})

    async def _input_items(self, call: Call) -> WholeResponse:
        return page(self._found(call).inputs, call.query)

    async def _cancel(self, call: Call) -> WholeResponse:
        self._found(call)
        raise InvalidRequestError(
            "only a response in the background can be cancelled, and there are none; to end one"
            " that is being made, close its connection"
        )


def _missing() -> NotFoundError:
    return NotFoundError(
        "there is no such response: none was stored, newer ones took its memory, or the server was"
        " started since"
    )


def _described(model: type[BaseModel], example: object) -> tuple[ResponseDoc]:
    content = Content(media_type=JSON, model=model, example=example)
    return (ResponseDoc(status=200, description="The response", contents=(content,)),)
