# SPDX-License-Identifier: GPL-3.0-only
"""What of a model is on which GPU before it is loaded: by layers, as llama.cpp divides them."""

from __future__ import annotations

from collections.abc import Mapping

from modeld import MemoryEstimate
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing.model_shape import ModelShape


def estimated(made: MemoryEstimate, shape: ModelShape, options: LlamaOptions) -> dict[str, int]:
    """Return the bytes on each GPU where nobody has asked llama.cpp what it would do.

    Which GPUs there are is not known then: without `tensor_split` all is expected on one.
    """
    layers = len(shape.layers) + 1  # what comes after the last one counts as one more
    wanted = layers if options.gpu_layers is None else min(options.gpu_layers, layers)
    shares = _shares({f"gpu{options.main_gpu if options.split_mode == 'none' else 0}": 1}, options)
    on_layers = _of_layers(made, wanted, layers, shares)
    if not on_layers:
        return {}
    first = next(iter(on_layers))  # each GPU has a buffer for computing, as large as the largest
    return on_layers | {first: on_layers[first] + made.compute_bytes}


def laid_out(
    made: MemoryEstimate,
    offloaded: tuple[int, int],
    free_mb: Mapping[str, int],
    computing: Mapping[str, int],
    options: LlamaOptions,
) -> dict[str, int]:
    """Return the bytes on each GPU of a model that llama.cpp has laid out without memory.

    ``offloaded`` is how many layers of how many it has put on GPUs, ``free_mb`` what these had free
    then, in MiB, and ``computing`` what its buffers for computing take there.
    """
    on_layers = _of_layers(made, *offloaded, _shares(free_mb, options))
    names = dict.fromkeys((*on_layers, *computing))
    return {name: on_layers.get(name, 0) + computing.get(name, 0) for name in names}


def _of_layers(
    made: MemoryEstimate, wanted: int, layers: int, shares: Mapping[str, float]
) -> dict[str, int]:
    whole = (made.weights_bytes + made.kv_bytes) * wanted // max(1, layers)
    return {name: int(whole * share) for name, share in shares.items() if int(whole * share)}


def _shares(free_mb: Mapping[str, int], options: LlamaOptions) -> dict[str, float]:
    """Return the part of each GPU in what is divided; without `tensor_split` by its free memory."""
    if options.tensor_split:
        parts: dict[str, float] = {
            f"gpu{number}": part for number, part in enumerate(options.tensor_split)
        }
    elif options.split_mode == "none":
        main = f"gpu{options.main_gpu}"
        parts = {main: free_mb.get(main, 1) or 1} if free_mb else {}
    else:
        parts = dict(free_mb)
    whole = sum(parts.values())
    return {name: part / whole for name, part in parts.items()} if whole else {}
