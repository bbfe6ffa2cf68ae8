# SPDX-License-Identifier: GPL-3.0-only
"""The plugin: one backend, which says what it can load, how much that takes and how to start it.

It imports no runtime; the worker does that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from modeld import (
    Backend,
    Engine,
    EngineHost,
    Finding,
    MemoryEstimate,
    ModelSpec,
    Options,
    hookimpl,
)
from modeld.capabilities import Capability
from modeld.values import FitStep
from modeld_llama_cpp import capabilities
from modeld_llama_cpp.doctor import findings
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sampling.llama_sampling import LlamaSampling
from modeld_llama_cpp.sizing import (
    context_size,
    estimate,
    families,
    fit_steps,
    gpu_libraries,
    gpu_share,
)
from modeld_llama_cpp.sizing.model_shape import shape_of


class LlamaCpp(Backend):
    """Runs GGUF models on llama.cpp, in a worker, with continuous batching."""

    name = "llama-cpp"
    options_type = LlamaOptions
    sampling_type = LlamaSampling
    gains_by_warm_up = True
    keeps_sessions = True
    warm_imports = (
        "modeld_llama_cpp.native.openmp_spin",
        "modeld_llama_cpp.engine.engine",
        "modeld_llama_cpp.embedding.engine",
    )

    def uses_gpus(self) -> bool:
        """Return whether the build has a library for GPUs beside it."""
        return gpu_libraries.is_there()

    def can_load(self, spec: ModelSpec) -> bool:
        """Return whether it is a GGUF model that writes text or makes vectors of it."""
        return spec.format == "gguf" and spec.family not in families.NOT_SERVED

    def capabilities(self, spec: ModelSpec, options: Options) -> frozenset[Capability]:
        """Return what the engine for text or the one for vectors serves."""
        assert isinstance(options, LlamaOptions)
        return capabilities.of(spec, options)

    def context(self, spec: ModelSpec, options: Options) -> int:
        """Return the tokens of the context, which one request alone may fill."""
        assert isinstance(options, LlamaOptions)
        return context_size.for_model(shape_of(spec), options).context

    def advice(self, missing: Capability, spec: ModelSpec, options: Options) -> str:
        """Return the option that makes the model serve what it does not as it is configured."""
        assert isinstance(options, LlamaOptions)
        return capabilities.advice(missing, spec, options)

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        """Return what a formula makes of the header alone, as :mod:`.sizing.estimate` has it."""
        assert isinstance(options, LlamaOptions)
        shape = shape_of(spec)
        made = estimate.estimate(shape, options)
        if gpu_libraries.is_there():
            on_gpus = gpu_share.estimated(made, shape, options)
            made = msgspec.structs.replace(made, on_gpus=on_gpus)
        return estimate.with_engine(made, shape, options)

    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        """Lay the model out in a worker, without memory, as :mod:`.native.dry_run` does."""
        assert isinstance(options, LlamaOptions)
        measured = await host.call("modeld_llama_cpp.native.dry_run:measure", spec, options)
        if measured is None:
            return None
        found = msgspec.convert(measured, MemoryEstimate)
        return estimate.with_engine(found, shape_of(spec), options)

    def fit_steps(
        self, spec: ModelSpec, options: Options, fixed: Collection[str], most_bytes: int
    ) -> Iterable[FitStep]:
        """Return a smaller prefix cache, KV cache and context, and fewer layers on GPUs."""
        assert isinstance(options, LlamaOptions)
        return fit_steps.fit_steps(shape_of(spec), options, fixed, most_bytes)

    async def diagnose(
        self, spec: ModelSpec | None, options: Options, host: EngineHost
    ) -> Sequence[Finding]:
        """Compare the build with this machine, and find the fastest numbers of threads."""
        assert isinstance(options, LlamaOptions)
        return await findings.diagnose(spec, options, host)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        """Start the engine for text or the one for vectors in a worker."""
        assert isinstance(options, LlamaOptions)
        if context_size.makes_vectors(shape_of(spec), options):
            engine = "modeld_llama_cpp.embedding.engine:EmbeddingEngine"
        else:
            engine = "modeld_llama_cpp.engine.engine:LlamaEngine"
        return await host.start(engine, spec, options)


@hookimpl
def modeld_register_backends() -> Iterable[Backend]:
    """Return the llama.cpp backend."""
    return (LlamaCpp(),)
