# SPDX-License-Identifier: GPL-3.0-only
"""A model's weights: brought into memory, or only laid out to see how much they would take."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence
from pathlib import Path

import llama_cpp

from modeld import ModelSpec
from modeld.errors import InvalidModelError, LoadFailedError
from modeld.interfaces import ReportProgress
from modeld_llama_cpp.native import native_log
from modeld_llama_cpp.options import LlamaOptions

_PREFIX = re.compile(r"^(\w+: |error loading model: |failed to apply lora adapter: )+")
_MEMORY = re.compile(r"memory|alloc|mmap|mlock", re.IGNORECASE)
_MAX_CAUSE = 500

_LOAD_MODES = {
    (False, False): llama_cpp.LLAMA_LOAD_MODE_NONE,
    (True, False): llama_cpp.LLAMA_LOAD_MODE_MMAP,
    (False, True): llama_cpp.LLAMA_LOAD_MODE_MLOCK,
    (True, True): llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK,
}

_SPLIT_MODES = {
    "none": llama_cpp.LLAMA_SPLIT_MODE_NONE,
    "layer": llama_cpp.LLAMA_SPLIT_MODE_LAYER,
    "row": llama_cpp.LLAMA_SPLIT_MODE_ROW,
}


def load(
    spec: ModelSpec,
    options: LlamaOptions,
    progress: ReportProgress,
    lines: Sequence[native_log.LogLine],
) -> int:
    """Bring the weights into memory and return the pointer. ``lines`` is what llama.cpp logs.

    Raises:
        InvalidModelError: the file cannot be used; the message says why, in llama.cpp's words.
        LoadFailedError: there is not enough memory, or an option asks for what is not there.
    """
    reporter = _Progress(progress)  # lives until llama.cpp returns: ctypes keeps no callback
    params = parameters(spec, options)
    params.progress_callback = reporter.callback
    weights = _open(spec, params)
    if reporter.failure is not None:
        if weights:
            llama_cpp.llama_model_free(weights)
        raise reporter.failure
    return _checked(weights, spec, lines)


def lay_out(spec: ModelSpec, options: LlamaOptions, lines: Sequence[native_log.LogLine]) -> int:
    """Lay the weights out without memory for them and return the pointer.

    Raises:
        InvalidModelError: as :func:`load`.
        LoadFailedError: as :func:`load`.
    """
    params = parameters(spec, options)
    params.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE  # as llama.cpp's own fitting does
    params.no_alloc = True
    return _checked(_open(spec, params), spec, lines)


def cause(lines: Sequence[native_log.LogLine], spec: ModelSpec, *paths: str) -> str:
    """Return why something failed: the errors that llama.cpp logged, without folders of files."""
    reasons = [
        _PREFIX.sub("", line.text.strip())
        for line in lines
        if line.is_error and "failed to load model" not in line.text
    ]
    said = "; ".join(reasons).replace(spec.path, spec.id)
    for path in paths:
        said = said.replace(path, Path(path).name)
    return said[:_MAX_CAUSE] or "llama.cpp did not say why"


def parameters(spec: ModelSpec, options: LlamaOptions) -> llama_cpp.llama_model_params:
    """Return what llama.cpp is told about the weights.

    Raises:
        LoadFailedError: the options divide the model among more GPUs than llama.cpp can use.
    """
    params: llama_cpp.llama_model_params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = -1 if options.gpu_layers is None else options.gpu_layers
    params.load_mode = _LOAD_MODES[options.mmap, options.mlock]
    params.split_mode = _SPLIT_MODES[options.split_mode]
    params.main_gpu = options.main_gpu
    if options.tensor_split:
        params.tensor_split = _shares(spec, options.tensor_split)
    return params


def shards(spec: ModelSpec) -> list[str]:
    """Return the files of a split model in their order, or the one file of any other.

    llama.cpp finds them itself only where their names end in small letters.
    """
    count = spec.metadata.get("split.count", 1)
    if not isinstance(count, int) or count < 2:
        return [spec.path]
    first = Path(spec.path)
    stem, suffix = first.name[: -len("-00001-of-00002.gguf")], first.suffix
    # Of names that differ only in how the suffix is written, the one like the first comes last.
    there = sorted(first.parent.iterdir(), key=lambda path: (path.suffix == suffix, path))
    by_lower = {path.name.lower(): path for path in there if path.name.startswith(stem)}
    names = (f"{stem}-{number:05}-of-{count:05}{suffix}" for number in range(1, count + 1))
    return [str(by_lower.get(name.lower(), first.with_name(name))) for name in names]


def _open(spec: ModelSpec, params: llama_cpp.llama_model_params) -> int | None:
    paths = shards(spec)
    weights: int | None
    if len(paths) == 1:
        weights = llama_cpp.llama_model_load_from_file(os.fsencode(spec.path), params)
    else:
        encoded = (ctypes.c_char_p * len(paths))(*map(os.fsencode, paths))
        weights = llama_cpp.llama_model_load_from_splits(encoded, len(paths), params)
    return weights


def _shares(spec: ModelSpec, shares: Sequence[float]) -> ctypes.Array[ctypes.c_float]:
    most = llama_cpp.llama_max_devices() if llama_cpp.llama_supports_gpu_offload() else 0
    if len(shares) > most:
        raise LoadFailedError(
            f"{spec.id}: tensor_split names {len(shares)} GPUs, but this build of llama.cpp can"
            f" use {most}"
        )
    # llama.cpp reads a share for each device that there is, also for those that are not named.
    floats: ctypes.Array[ctypes.c_float] = (ctypes.c_float * llama_cpp.LLAMA_MAX_DEVICES)(*shares)
    return floats


def _checked(weights: int | None, spec: ModelSpec, lines: Sequence[native_log.LogLine]) -> int:
    if not weights:
        why = cause(lines, spec)
        error = LoadFailedError if _MEMORY.search(why) else InvalidModelError
        raise error(f"{spec.id}: {why}")
    return weights


class _Progress:
    """Passes progress on; an exception out of it ends the load."""

    def __init__(self, report: ReportProgress) -> None:
        self._report = report
        self.failure: BaseException | None = None
        self.callback = llama_cpp.llama_progress_callback(self._on_progress)

    def _on_progress(self, fraction: float, _user_data: object) -> bool:
        try:
            self._report(min(max(fraction, 0.0), 1.0))
        except BaseException as exc:  # noqa: BLE001  (raised again as soon as llama.cpp returns)
            self.failure = exc
        return self.failure is None
