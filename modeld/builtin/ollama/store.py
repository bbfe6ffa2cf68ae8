# SPDX-License-Identifier: GPL-3.0-only
"""The built-in source of what Ollama has pulled: manifests, and blobs named by their hashes."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta
from msgspec.structs import replace

from modeld import ModelSpec, PluginSettings, RegistrySource, Settings, hookimpl
from modeld.builtin.gguf.files import look_at
from modeld.builtin.gguf.groups import FileGroup
from modeld.builtin.gguf.names import displayed
from modeld.builtin.gguf.problems import ModelsFolderError, reason_of
from modeld.builtin.gguf.specs import GgufSpecs
from modeld.builtin.ollama.pulled import LATEST, Pulled, id_of, read_manifest

_OF_THE_SYSTEM: Final = "/usr/share/ollama/.ollama/models"

log = logging.getLogger("modeld.ollama_store")


class OllamaStoreSettings(PluginSettings, frozen=True):
    """Whether Ollama's store is searched, and where it is."""

    enabled: Annotated[bool, Meta(description="list the models that Ollama has pulled")] = False
    dir: Annotated[
        str,
        Meta(
            description="the store; unless set, where OLLAMA_MODELS says, ~/.ollama/models, or"
            f" {_OF_THE_SYSTEM}"
        ),
    ] = ""


class OllamaStore(RegistrySource):
    """Finds the models that Ollama's manifests name.

    A model's id is what Ollama lists it as: ``NAME:TAG``, with the namespace and the registry
    before it where these are not Ollama's own; ``NAME`` alone is an alias of ``NAME:latest``.
    Parameters of the runtime become options. Ollama's templates are in another language, so the
    chat template is the file's own; that, system prompts and parameters of sampling are left out,
    and the log says so.
    """

    name = "ollama-store"

    def __init__(self, store: str) -> None:
        self._manifests = Path(store, "manifests")
        self._blobs = Path(store, "blobs")
        self._specs = GgufSpecs(self.name, store)
        self._told: set[str] = set()

    async def list_models(self) -> Sequence[ModelSpec]:
        """Return the models of all manifests in the order of their ids.

        Raises:
            ModelsFolderError: the store is missing or cannot be read.
        """
        try:
            os.listdir(self._manifests)  # noqa: PTH208  (`glob` passes over what cannot be read)
        except OSError as exc:
            raise ModelsFolderError(
                f"the store of Ollama {self._manifests.parent} cannot be read: {reason_of(exc)};"
                " pull a model first, or set ollama-store.dir or ollama-store.enabled",
                field="ollama-store.dir",
            ) from exc
        manifests = (path for path in self._manifests.glob("*/*/*/*") if path.name[0] != ".")
        specs = sorted(map(self._spec, manifests), key=lambda spec: spec.id)
        self._specs.keep_only(spec.path for spec in specs)
        return specs

    def watched_paths(self) -> Sequence[str]:
        """Return the folders of the manifests: each is written when its blobs are there."""
        below = (path for level in ("*", "*/*", "*/*/*") for path in self._manifests.glob(level))
        return [str(self._manifests), *(str(path) for path in below if path.is_dir())]

    def _spec(self, manifest: Path) -> ModelSpec:
        model = id_of(*manifest.relative_to(self._manifests).parts)
        aliases = (model.removesuffix(LATEST),) if model.endswith(LATEST) else ()
        try:
            pulled = read_manifest(manifest, self._blobs)
        except (OSError, ValueError, RecursionError) as exc:
            reason = "it is nested too deeply" if isinstance(exc, RecursionError) else exc
            return ModelSpec(
                id=model,
                name=model,
                path=displayed(str(manifest)),
                source=self.name,
                aliases=aliases,
                problem=f"its manifest in Ollama's store cannot be used: {reason}",
            )
        weights = pulled.weights
        group = FileGroup(weights.name, (look_at(str(weights), weights.name),))
        spec = self._specs.spec(group, model)
        self._tell(spec, pulled)
        return replace(
            spec,
            name=model if spec.name == weights.name else spec.name,
            aliases=aliases,
            options=_options(pulled),
            projector=str(pulled.projector) if pulled.projector else None,
        )

    def _tell(self, spec: ModelSpec, pulled: Pulled) -> None:
        """Say once what of a model is not taken over."""
        left_out = [f"the parameter {name}" for name in pulled.others]
        left_out += ["its system prompt"] if pulled.has_system else []
        if pulled.has_template and spec.has_chat_template is False:
            left_out.append("its template, and its file has none for chats")
        said = f"{spec.id}: not taken over from Ollama: {', '.join(left_out)}"
        if left_out and said not in self._told:
            self._told.add(said)
            log.info("%s", said)


def _options(pulled: Pulled) -> dict[str, Any]:
    options = dict(pulled.options)
    if pulled.adapters:
        options["lora"] = [{"path": str(adapter)} for adapter in pulled.adapters]
    return options


def store_of(environment: Mapping[str, str]) -> str:
    """Return where Ollama has its models: as its variable says, this user's, its service's."""
    if told := environment.get("OLLAMA_MODELS"):
        return told
    own = Path("~/.ollama/models").expanduser()
    if not own.is_dir() and Path(_OF_THE_SYSTEM).is_dir():
        return _OF_THE_SYSTEM
    return str(own)


@hookimpl
def modeld_register_settings() -> type[OllamaStoreSettings]:
    """Return the table of the store."""
    return OllamaStoreSettings


@hookimpl
def modeld_register_sources(settings: Settings) -> Iterable[RegistrySource]:
    """Bring the store, if it is turned on."""
    own = settings.of(OllamaStoreSettings)
    store = Path(own.dir or store_of(os.environ)).expanduser().absolute()
    return [OllamaStore(str(store))] if own.enabled else []
