# SPDX-License-Identifier: GPL-3.0-only
"""The backend, as the server sees it: which models, how much memory, how to start. No runtime."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from modeld import Backend, Engine, EngineHost, Finding, MemoryEstimate, ModelSpec, Options
from modeld_llama_cpp import examination, families, memory
from modeld_llama_cpp.options import LlamaOptions


class LlamaCpp(Backend):
    """Runs GGUF models on llama.cpp, in a worker, with continuous batching."""

    name = "llama-cpp"
    options_type = LlamaOptions
    warm_imports = (
        "modeld_llama_cpp.spinning",
        "modeld_llama_cpp.engine",
        "modeld_llama_cpp.embedding_engine",
    )

    def can_load(self, spec: ModelSpec) -> bool:
        """Whether it is a GGUF model that writes text or makes vectors of it."""
        return spec.format == "gguf" and spec.family not in families.NOT_SERVED

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        """By formula, from the header alone; see :mod:`modeld_llama_cpp.memory`."""
        assert isinstance(options, LlamaOptions)
        return _with_kept(memory.estimate(spec, options), spec, options)

    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        """Laid out in a worker, without memory; see :mod:`modeld_llama_cpp.dry_run`."""
        assert isinstance(options, LlamaOptions)
        measured = await host.call("modeld_llama_cpp.dry_run:measure", spec, options)
        if measured is None:
            return None
        return _with_kept(msgspec.convert(measured, MemoryEstimate), spec, options)

    async def examine(
        self, spec: ModelSpec | None, options: Options, host: EngineHost
    ) -> Sequence[Finding]:
        """The build against this machine, and the fastest threads; see :mod:`.examination`."""
        assert isinstance(options, LlamaOptions)
        return await examination.examine(spec, options, host)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        """Start the engine for text or the one for vectors in a worker."""
        assert isinstance(options, LlamaOptions)
        if families.makes_vectors(spec, options):
            engine = "modeld_llama_cpp.embedding_engine:EmbeddingEngine"
        else:
            engine = "modeld_llama_cpp.engine:LlamaEngine"
        return await host.start(engine, spec, options)


def _with_kept(made: MemoryEstimate, spec: ModelSpec, options: LlamaOptions) -> MemoryEstimate:
    """What the engine keeps of ended requests comes on top of what llama.cpp holds."""
    kept = memory.kept_bytes(spec, options)
    return msgspec.structs.replace(made, kv_bytes=made.kv_bytes + kept)
