# SPDX-License-Identifier: GPL-3.0-only
"""The backend, as the server sees it: which models, how much memory, how to start. No runtime."""

from __future__ import annotations

from modeld import Backend, Engine, EngineHost, MemoryEstimate, ModelSpec, Options
from modeld_llama_cpp import memory
from modeld_llama_cpp.options import LlamaOptions

WITHOUT_TEXT = frozenset(
    {
        "bert", "modern-bert", "neo-bert", "eurobert", "nomic-bert", "nomic-bert-moe",
        "jina-bert-v2", "jina-bert-v3", "gemma-embedding",
        "t5", "t5encoder", "clip", "wavtokenizer-dec",
        "dream", "llada", "llada-moe",
    }
)  # fmt: skip
"""Families that do not write text token by token: encoders, audio and image parts, diffusion."""


class LlamaCpp(Backend):
    """Runs GGUF models on llama.cpp, in a worker, with continuous batching."""

    name = "llama-cpp"
    options_type = LlamaOptions
    warm_imports = ("modeld_llama_cpp.spinning", "modeld_llama_cpp.engine")

    def can_load(self, spec: ModelSpec) -> bool:
        """Whether it is a GGUF model that writes text."""
        return spec.format == "gguf" and spec.family not in WITHOUT_TEXT

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        """Weights, KV cache and an allowance for computing; see :mod:`modeld_llama_cpp.memory`."""
        assert isinstance(options, LlamaOptions)
        return memory.estimate(spec, options)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        """Start the engine in a worker."""
        return await host.start("modeld_llama_cpp.engine:LlamaEngine", spec, options)
