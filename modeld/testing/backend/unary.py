# SPDX-License-Identifier: GPL-3.0-only
"""Checks of unary requests: vectors, rankings, tokens and prompts."""

from __future__ import annotations

import math

from modeld.capabilities import Capability
from modeld.errors import ModeldError, NotSupportedError
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
    UnaryRequest,
)
from modeld.responses import (
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
)
from modeld.testing.backend.capabilities import CapabilitySubject
from modeld.testing.backend.driven import DrivenEngine
from modeld.testing.backend.loading import LOADED
from modeld.testing.contract import DisclaimedError, assert_that, check


class LaterRequest(UnaryRequest, frozen=True, kw_only=True, tag="later"):
    """A request of a kind that there is not yet."""


class UnaryChecks(CapabilitySubject):
    """One check for each kind of unary request."""

    @check(LOADED)
    async def test_serves_embed(self) -> None:
        """Each input has a vector, all of one length, which is 1 where that was asked for."""
        request = EmbedRequest(inputs=("a boat", "a little boat", "a boat"))
        async with self.with_capability(Capability.EMBED, request) as engine:
            response = await engine.submit(request)
            assert_that(
                isinstance(response, EmbedResponse) and len(response.vectors) == 3,
                f"3 inputs gave {response!r:.200}; return an EmbedResponse with a vector for each",
            )
            assert isinstance(response, EmbedResponse)
            sizes = {len(vector) for vector in response.vectors}
            assert_that(len(sizes) == 1, f"the vectors have the lengths {sorted(sizes)}, not one")
            for vector in response.vectors:
                length = math.hypot(*vector)
                assert_that(
                    math.isclose(length, 1, rel_tol=1e-3),
                    f"a vector that was to be normalized has the length {length:g}; make it 1",
                )
            one, _, again = response.vectors
            assert_that(
                all(math.isclose(x, y, abs_tol=1e-2) for x, y in zip(one, again, strict=True)),
                "the same text got two vectors in one request",
            )

    @check(LOADED)
    async def test_serves_rerank(self) -> None:
        """Each document has a score."""
        request = RerankRequest(query="a boat", documents=("a boat", "the moon"))
        async with self.with_capability(Capability.RERANK, request) as engine:
            response = await engine.submit(request)
            is_whole = (
                isinstance(response, RerankResponse)
                and len(response.scores) == 2
                and all(math.isfinite(score) for score in response.scores)
            )
            assert_that(
                is_whole,
                f"2 documents gave {response!r}; return a RerankResponse, a score for each",
            )

    @check(LOADED)
    async def test_serves_tokenize(self) -> None:
        """A text has tokens, and they have the text."""
        request = TokenizeRequest(text=self.prompt, add_special=False, with_pieces=True)
        async with self.with_capability(Capability.TOKENIZE, request) as engine:
            tokens = await engine.submit(request)
            assert_that(
                isinstance(tokens, TokenizeResponse) and tokens.ids,
                f"a text gave {tokens!r}; return a TokenizeResponse with the ids of its tokens",
            )
            assert isinstance(tokens, TokenizeResponse)
            assert_that(
                len(tokens.pieces) == len(tokens.ids),
                f"{len(tokens.ids)} tokens came with {len(tokens.pieces)} pieces; with_pieces wants"
                " the bytes of each",
            )
            try:
                text = await engine.submit(DetokenizeRequest(tokens=tokens.ids))
            except NotSupportedError as exc:
                raise DisclaimedError(f"of tokens no text is made: {exc.message}") from exc
            assert_that(
                isinstance(text, TextResponse) and text.text.strip() == self.prompt.strip(),
                f"the tokens of {self.prompt!r} gave {text!r}; return the TextResponse of them",
            )

    @check(LOADED)
    async def test_serves_template(self) -> None:
        """A chat has a prompt, with what was said in it."""
        request = ApplyTemplateRequest(messages=(self.said(content="a little boat"),))
        async with self.with_capability(Capability.TEMPLATE, request) as engine:
            response = await engine.submit(request)
            assert_that(
                isinstance(response, TextResponse) and "a little boat" in response.text,
                f"a chat gave {response!r}; return a TextResponse with the prompt made of it",
            )

    @check(LOADED)
    async def test_other_requests_are_refused_by_the_engine(self) -> None:
        """Kinds that are not declared, and those of later versions, are no reason to fail."""
        kinds: dict[Capability, AnyUnaryRequest] = {
            Capability.EMBED: EmbedRequest(inputs=("a",)),
            Capability.RERANK: RerankRequest(query="a", documents=("b",)),
            Capability.TOKENIZE: TokenizeRequest(text="a"),
            Capability.TEMPLATE: ApplyTemplateRequest(messages=(self.said(),)),
        }
        undeclared = [each for kind, each in kinds.items() if kind not in self.declared]
        later: list[UnaryRequest] = [LaterRequest()]
        async with self.loaded() as engine:
            for request in (*undeclared, *(later if isinstance(engine, DrivenEngine) else ())):
                kind = request.__struct_config__.tag
                try:
                    await engine.submit(request)
                except NotSupportedError:
                    continue
                except ModeldError as exc:
                    found = f"failed with {exc.code!r}: {exc.message}"
                except Exception as exc:  # noqa: BLE001  (whatever an engine makes of it)
                    found = f"raised {type(exc).__name__}: {exc}"
                else:
                    found = "was served, and it is not declared"
                raise AssertionError(
                    f"a request of the kind {kind!r} {found}; raise"
                    " modeld.requests.not_supported(request) for the kinds that are not served"
                )
