# SPDX-License-Identifier: GPL-3.0-only
"""What the interfaces of engines do by themselves."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from modeld import (
    Chunk,
    Done,
    Engine,
    FinishReason,
    GenerateRequest,
    Message,
    Usage,
)
from modeld.errors import NotSupportedError
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)

UNARY: dict[str, AnyUnaryRequest] = {
    "embed": EmbedRequest(inputs=("a",)),
    "rerank": RerankRequest(query="a", documents=("b",)),
    "tokenize": TokenizeRequest(text="a"),
    "detokenize": DetokenizeRequest(tokens=(1,)),
    "apply_template": ApplyTemplateRequest(messages=(Message(role="user", content="a"),)),
}


class Mute(Engine):
    """Overrides no more than it must."""

    slots = 1

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        yield Done(finish_reason=FinishReason.STOP, usage=Usage())

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("kind", UNARY)
def test_an_engine_refuses_every_unary_request_by_name_unless_it_serves_it(kind: str) -> None:
    with pytest.raises(NotSupportedError, match=f"does not serve {kind} requests"):
        asyncio.run(Mute().submit(UNARY[kind]))
