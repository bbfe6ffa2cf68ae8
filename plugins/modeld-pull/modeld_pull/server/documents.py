# SPDX-License-Identifier: GPL-3.0-only
"""What the OpenAPI document says of the routes of pulls, beside their docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final, TypeVar

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., object])


def described(members: str) -> Callable[[_Endpoint], _Endpoint]:
    """Return a decorator that adds ``members`` of an OpenAPI operation, in YAML, to a docstring."""

    def added(endpoint: _Endpoint) -> _Endpoint:
        endpoint.__doc__ = f"{inspect.getdoc(endpoint)}\n---\n{members}"
        return endpoint

    return added


PULL: Final = """\
operationId: pull_model
requestBody:
  required: true
  content:
    application/json:
      schema:
        type: object
        additionalProperties: false
        required: [source]
        properties:
          source:
            type: string
            maxLength: 2048
            description: OWNER/NAME, OWNER/NAME:FILE, or an http(s) URL
          file:
            type: string
            maxLength: 2048
            default: ''
            description: path in the repository, or a quantisation such as Q4_K_M
          revision:
            type: string
            maxLength: 2048
            default: ''
            description: branch, tag or commit; main unless set
          sha256:
            type: string
            maxLength: 2048
            default: ''
            description: what the file must have; a URL needs it
          stream:
            type: boolean
            default: false
            description: send a line of JSON whenever something has come
          detach:
            type: boolean
            default: false
            description: go on when the client leaves; without `stream`, respond at once
      examples:
        one: {value: {source: owner/name-GGUF, file: Q4_K_M, stream: true}}
responses:
  200:
    description: It is over; in a stream, how far it is
    content:
      application/json:
        schema: {type: object, description: as GET /models/pulls lists it}
        example: {id: '1', source: owner/name-GGUF, status: done}
      application/x-ndjson:
        schema: {type: object, description: one in each line, as GET /models/pulls lists it}
        example: |
          {"id": "1", "source": "owner/name-GGUF", "status": "downloading"}
          {"id": "1", "source": "owner/name-GGUF", "status": "done"}
  202:
    description: It goes on by itself
    content:
      application/json:
        schema: {type: object, description: as GET /models/pulls lists it}
        example: {id: '1', source: owner/name-GGUF, status: resolving}
"""

LIST: Final = """\
operationId: list_pulls
responses:
  200:
    description: The pulls, the oldest first
    content:
      application/json:
        schema:
          type: object
          required: [pulls]
          properties:
            pulls:
              type: array
              items: {type: object, description: as DELETE of it responds}
        example: {pulls: []}
"""

CANCEL: Final = """\
operationId: cancel_pull
responses:
  200:
    description: The pull as it was
    content:
      application/json:
        schema:
          type: object
          required:
            [id, source, status, file, completed_bytes, total_bytes, detail, models, error]
          properties:
            id: {type: string}
            source: {type: string}
            status:
              type: string
              enum: [resolving, verifying, downloading, waiting, done, failed, cancelled]
            file: {type: string, description: which of its files it works on}
            completed_bytes: {type: integer, description: of all its files}
            total_bytes: {type: [integer, 'null'], description: of all, if known}
            detail: {type: string, description: what it waits for}
            models: {type: array, items: {type: string}, description: ids of what has come}
            error: {type: [object, 'null'], description: why it failed}
        example:
          id: '1'
          source: owner/name-GGUF:Q4_K_M
          status: downloading
          file: name-Q4_K_M.gguf
          completed_bytes: 1048576
          total_bytes: 144811456
          detail: ''
          models: []
          error: null
"""
