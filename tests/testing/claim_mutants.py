# SPDX-License-Identifier: GPL-3.0-only
"""Backends that declare what they do not serve."""

from __future__ import annotations

from collections.abc import Collection

from modeld import Capability, GenerateRequest, ModelSpec, Options
from modeld.errors import InvalidRequestError
from modeld.requests import AnyRequest
from tests.testing.request_mutants import MUTANTS, fails
from tests.testing.toys import Toy, ToyEngine

__all__ = ["MUTANTS"]


class Stumbling(ToyEngine):
    """Fails on whatever it does not know, without a name for it."""

    def submit(self, request_id: int, request: AnyRequest) -> None:
        if isinstance(request, GenerateRequest):
            texts = [each.content for each in request.messages or ()]
            has_media = any(
                not hasattr(part, "text")
                for each in texts
                if isinstance(each, tuple)
                for part in each
            )
            is_named = any(each.name for each in request.messages or ())
            if has_media or is_named or request.reasoning.enabled or request.template_kwargs:
                raise InvalidRequestError("what is that?")
        super().submit(request_id, request)


class Claims(Toy):
    """Declares one thing more than the toy serves."""

    engine = Stumbling
    claimed: Capability

    def capabilities(self, spec: ModelSpec, options: Options) -> Collection[Capability]:
        return {*super().capabilities(spec, options), self.claimed}


@fails("test_serves_names")
class ClaimsNames(Claims):
    claimed = Capability.NAMES


@fails("test_serves_vision")
class ClaimsToSee(Claims):
    claimed = Capability.VISION


@fails("test_serves_audio")
class ClaimsToHear(Claims):
    claimed = Capability.AUDIO


@fails("test_serves_reasoning")
class ClaimsToThink(Claims):
    claimed = Capability.REASONING


@fails("test_serves_template_kwargs")
class ClaimsVariables(Claims):
    claimed = Capability.TEMPLATE_KWARGS


@fails("test_serves_json_schema")
class ClaimsSchemas(Claims):
    claimed = Capability.JSON_SCHEMA


@fails("test_serves_grammar")
class ClaimsGrammars(Claims):
    claimed = Capability.GRAMMAR


@fails("test_serves_regex")
class ClaimsRegexes(Claims):
    claimed = Capability.REGEX


@fails("test_serves_lark")
class ClaimsLark(Claims):
    claimed = Capability.LARK


@fails("test_serves_text")
class ClaimsText(ToyEngine):
    """Serves a plain prompt only where it need not be long."""

    def submit(self, request_id: int, request: AnyRequest) -> None:
        is_long = isinstance(request, GenerateRequest) and request.max_tokens == 48
        if is_long and request.prompt and request.logprobs is None and request.choice is None:
            raise InvalidRequestError("that is long")
        super().submit(request_id, request)
