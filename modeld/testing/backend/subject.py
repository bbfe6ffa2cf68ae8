# SPDX-License-Identifier: GPL-3.0-only
"""The backend under test: its model, its options, and what its engines make of requests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from modeld import (
    Backend,
    Capability,
    Chunk,
    Done,
    Engine,
    GenerateRequest,
    MemoryEstimate,
    Message,
    ModelSpec,
    Options,
    Sampling,
    Token,
)
from modeld.requests import AnyRequest
from modeld.responses import Piece
from modeld.testing.backend.host import DrivingHost
from modeld.testing.contract import Contract, DisclaimedError, UntestedError, assert_that

ENOUGH_PIECES = 6
"""How many pieces a generation must have for what is looked for in it."""


@dataclass(slots=True)
class Generation:
    """What came of one request: the pieces, the end, and whatever came after the end."""

    pieces: list[Piece] = field(default_factory=list)
    done: Done | None = None
    late: list[Chunk] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """Return the texts of the tokens."""
        return [piece.text for piece in self.pieces if isinstance(piece, Token)]

    @property
    def text(self) -> str:
        """Return the whole text."""
        return "".join(self.texts)


async def collect(engine: Engine, request: GenerateRequest) -> Generation:
    """Return all that the engine yields for a request, also what must not be there."""
    found = Generation()
    async with aclosing(engine.generate(request)) as chunks:
        async for chunk in chunks:
            if found.done is not None:
                found.late.append(chunk)
            elif isinstance(chunk, Done):
                found.done = chunk
            else:
                found.pieces.append(chunk)
    return found


class BackendSubject(Contract):
    """What the checks of a backend have in common.

    ``backend`` is the plugin's, ``model`` a file that it loads, or a ``ModelSpec`` as its source
    makes it. ``options`` are those of that model, as the settings have them. To ``prompt`` the
    model says some words. ``failing`` is a request that the engine refuses or fails, if there is
    one; one that fails after its first token tells more. An estimate may be off by the factor
    ``estimate_within``. The limits allow for a busy machine: ``quick_s`` is for calls on the event
    loop, ``estimate_s`` for an estimate, ``step_s`` for a step, ``kept_bytes`` for what a process
    may grow by over some lives of the model, beyond a tenth of it each.
    """

    subjects: ClassVar[tuple[str, ...]] = ("backend", "model", "options", "prompt", "failing")

    backend: Backend
    model: ModelSpec | Path | None = None
    options: Mapping[str, Any] = {}
    prompt: str = "Once upon a time there was a little boat. It"
    failing: AnyRequest | None = None
    estimate_within: float = 2.0
    quick_s: float = 0.1
    estimate_s: float = 1.0
    step_s: float = 2.0
    kept_bytes: int = 32 << 20

    @property
    def spec(self) -> ModelSpec:
        """Return the model, as a source would describe it."""
        if self.model is None:
            raise UntestedError(
                "there is no model to load: name one (`model`, or --model on the command line)"
            )
        if isinstance(self.model, ModelSpec):
            return self.model
        path = Path(self.model)
        return ModelSpec(
            id=path.name,
            name=path.stem,
            path=str(path),
            format=path.suffix.removeprefix("."),
            size_bytes=path.stat().st_size,
        )

    @property
    def typed_options(self) -> Options:
        """Return the options of the model as the backend's type."""
        return msgspec.convert(dict(self.options), self.backend.options_type)

    @property
    def declared(self) -> Collection[Capability]:
        """Return what the backend says that the model can be asked for."""
        return self.backend.capabilities(self.spec, self.typed_options)

    @asynccontextmanager
    async def loaded(self) -> AsyncIterator[Engine]:
        """Yield the model's engine, which is closed at the end."""
        host = DrivingHost()
        try:
            engine = await self.backend.load(self.spec, self.typed_options, host)
            try:
                yield engine
            finally:
                if engine not in host.engines:
                    await engine.aclose()
        finally:
            await host.aclose()

    def serves(self, name: str) -> bool:
        """Return whether the backend serves a member of ``Sampling``."""
        return name not in self.backend.unserved_sampling

    def steady(self, *, is_endless: bool = True) -> Sampling:
        """Return what makes generations repeatable, and long where that can be asked for."""
        return Sampling(
            temperature=0.0 if self.serves("temperature") else None,
            seed=1 if self.serves("seed") else None,
            ignore_eos=is_endless and self.serves("ignore_eos"),
        )

    def request(self, **members: Any) -> GenerateRequest:
        """Return a request for text as this model takes it.

        Raises:
            DisclaimedError: the backend does not declare that it writes text.
        """
        declared = self.declared
        prompt = members.pop("prompt", self.prompt)
        defaults: dict[str, Any] = {"model": self.spec.id, "max_tokens": 24}
        defaults["sampling"] = self.steady()
        if members.keys() & {"messages", "prompt_tokens"}:
            pass
        elif Capability.TEXT in declared:
            defaults["prompt"] = prompt
        elif Capability.CHAT in declared:
            defaults["messages"] = (Message(role="user", content=prompt),)
        else:
            raise DisclaimedError("the model writes no text: neither text nor chat is declared")
        return GenerateRequest(**(defaults | members))

    async def long(self, engine: Engine, **members: Any) -> Generation:
        """Return a generation that has enough pieces to tell something.

        Raises:
            UntestedError: the model has too little to say.
        """
        found = await collect(engine, self.request(**members))
        if len(found.texts) < ENOUGH_PIECES:
            raise UntestedError(
                f"the model said only {len(found.texts)} pieces of text to {self.prompt!r}; give"
                f" the contract a `prompt` to which it says {ENOUGH_PIECES} or more"
            )
        return found

    def without_file(self) -> ModelSpec:
        """Return the model as it would be described, had its file gone."""
        spec = self.spec
        return replace(spec, path=f"{spec.path}.is-not-there")


def check_estimate(what: str, found: object) -> MemoryEstimate:
    """Fail where memory is not told in whole bytes; ``what`` has told it."""
    assert_that(
        isinstance(found, MemoryEstimate),
        f"{what} returned {found!r}; return a modeld.MemoryEstimate",
    )
    assert isinstance(found, MemoryEstimate)
    for part in {*MemoryEstimate.__struct_fields__} - {"on_gpus"}:
        check_whole_number(f"{what}'s {part}", getattr(found, part), 0)
    check_on_gpus(f"{what}'s on_gpus", found.on_gpus, found.total_bytes)
    return found


def check_on_gpus(what: str, on_gpus: Mapping[str, int], total_bytes: int) -> None:
    """Fail where the bytes on GPUs are no part of all bytes, or on what is no GPU."""
    for gpu, size in on_gpus.items():
        is_gpu = re.fullmatch(r"gpu\d+", gpu)
        assert_that(is_gpu, f"{what} names {gpu!r}; a GPU is gpu0, gpu1 and so on")
        check_whole_number(f"{what}[{gpu!r}]", size, 0)
    assert_that(
        sum(on_gpus.values()) <= total_bytes,
        f"{what} is {dict(on_gpus)}; that must be a part of all {total_bytes} bytes, and is more",
    )


def check_whole_number(name: str, value: object, least: int) -> None:
    """Fail where a number is none, or too small."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    assert_that(
        is_whole and int(str(value)) >= least,
        f"{name} is {value!r}; it must be a whole number of at least {least}",
    )
