# SPDX-License-Identifier: GPL-3.0-only
"""A first backend for modeld: a text file is a model that goes on with what it has read."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

import modeld
from modeld.errors import InvalidRequestError
from modeld.interfaces import ReportProgress
from modeld.requests import AnyRequest, TokenizeRequest
from modeld.responses import AnyUnaryResponse, TokenizeResponse
from modeld.sampling import COMMON


class TextFolder(modeld.RegistrySource):
    """Finds the models: every text file in the models folder is one."""

    name = "text-folder"

    def __init__(self, models_dir: str) -> None:
        self._folder = Path(models_dir).expanduser()

    async def list_models(self) -> Sequence[modeld.ModelSpec]:
        """All text files; an error where the folder is away, lest its models vanish with it."""
        files = sorted(self._folder.iterdir())
        return [self.spec(file) for file in files if file.suffix == ".txt"]

    def spec(self, file: Path) -> modeld.ModelSpec:
        """Return what there is to say of a model."""
        return modeld.ModelSpec(
            id=file.name,
            name=file.stem,
            path=str(file),
            format="text",
            size_bytes=file.stat().st_size,
            source=self.name,
        )


class ReciteOptions(modeld.Options, frozen=True):
    """What can be set per model."""

    pause_s: Annotated[float, Meta(ge=0, le=10, description="seconds before each word")] = 0.0


class ReciteSampling(modeld.BackendSampling, frozen=True):
    """What a request can say about choosing words."""

    skip_words: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None,
        Meta(description="leave out so many words before going on"),
    ] = None


class ReciteEngine(modeld.SimpleEngine):
    """One loaded model. It runs in a process of its own: it may block, and may even crash."""

    def __init__(self, text: str, pause_s: float) -> None:
        self._text = text
        self._pause_s = pause_s
        self.held_bytes = len(text.encode())

    @classmethod
    def open(
        cls, spec: modeld.ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> "ReciteEngine":
        """Load the model; whatever is raised here is the reason of a failed load."""
        text = Path(spec.path).read_text(encoding="utf-8")
        progress(1.0)
        return cls(text, options["pause_s"])

    def generate(self, request: modeld.GenerateRequest) -> Iterator[str]:
        """Yield the words that follow the prompt in the text."""
        prompt = request.prompt or (request.messages or ())[-1].text
        self.prompt_tokens = len(prompt.split())
        skipped = request.sampling.own.get("skip_words") or 0
        for word in self._text.partition(prompt)[2].split()[skipped:]:
            time.sleep(self._pause_s)
            yield f" {word}"


class TalkativeEngine(ReciteEngine):
    """An engine that also says which tokens a text has. Its tokens are the words it has read."""

    _response: tuple[int, AnyUnaryResponse] | None = None

    def submit(self, request_id: int, request: AnyRequest) -> None:
        """Take a request on; the engine below writes text and refuses all other kinds."""
        if isinstance(request, TokenizeRequest):
            self._response = (request_id, self._tokens(request))
        else:
            super().submit(request_id, request)

    def step(self) -> Sequence[tuple[int, modeld.StepChunk | AnyUnaryResponse]]:
        """Hand over the response, or go on with the text."""
        response, self._response = self._response, None
        return super().step() if response is None else [response]

    def cancel(self, request_id: int) -> None:
        """Forget the request, of whichever kind."""
        self._response = None
        super().cancel(request_id)

    def _tokens(self, request: TokenizeRequest) -> TokenizeResponse:
        words, known = request.text.split(), self._text.split()
        for word in words:
            if word not in known:
                raise InvalidRequestError(f"this model has never read {word!r}", field="text")
        pieces = [word.encode() for word in words] if request.with_pieces else []
        return TokenizeResponse(ids=tuple(map(known.index, words)), pieces=tuple(pieces))


class Recite(modeld.Backend):
    """Stays in the server: it says what it can load, and imports no runtime."""

    name = "recite"
    options_type = ReciteOptions
    sampling_type = ReciteSampling
    unserved_sampling = tuple(row.name for row in COMMON)

    def can_load(self, spec: modeld.ModelSpec) -> bool:
        """Whether it is a text file."""
        return spec.format == "text"

    def capabilities(self, *_: object) -> Collection[modeld.Capability]:
        """What the engine serves; requests for anything else never come to it."""
        return {modeld.Capability.TEXT, modeld.Capability.CHAT, modeld.Capability.TOKENIZE}

    async def load(
        self, spec: modeld.ModelSpec, options: modeld.Options, host: modeld.EngineHost
    ) -> modeld.Engine:
        """Have modeld start the engine in a worker."""
        return await host.start("modeld_recite:TalkativeEngine", spec, options)


@modeld.hookimpl
def modeld_register_sources(settings: modeld.Settings) -> Iterable[modeld.RegistrySource]:
    """Bring the source."""
    return [TextFolder(settings.models_dir)]


@modeld.hookimpl
def modeld_register_backends() -> Iterable[modeld.Backend]:
    """Bring the backend."""
    return [Recite()]
