# SPDX-License-Identifier: GPL-3.0-only
"""The findings about llama.cpp: the build, the devices, the fastest numbers of threads.

It runs in the process of the command line and loads no runtime; workers look and measure.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from modeld import EngineHost, Finding, ModelSpec
from modeld.errors import ModeldError
from modeld.values import JsonValue
from modeld_llama_cpp.doctor import cpu, gpus, thread_advice
from modeld_llama_cpp.doctor.facts import Build, Measured
from modeld_llama_cpp.doctor.gpus import Gpu
from modeld_llama_cpp.options import LlamaOptions

ROOT: Final = Path("/")
EXPECTED_S: Final = 30.0
"""How long a measurement takes, for those who watch it."""

LIMIT_S: Final = 100.0
"""How long it may take; modeld gives up soon after, and what was found before would be lost."""

_TICK_S: Final = 0.2
_NO_MODEL: Final = ModelSpec(id="llama.cpp", name="llama.cpp", path="")
_ARGUMENTS: Final = {"NVIDIA": "-DGGML_CUDA=on", "AMD": "-DGGML_HIP=on"}


async def diagnose(
    spec: ModelSpec | None, options: LlamaOptions, host: EngineHost, root: Path = ROOT
) -> Sequence[Finding]:
    """Compare the build with this machine, and with a ``spec`` find the fastest threads for it."""
    try:
        told = await host.call("modeld_llama_cpp.doctor.build:read", _NO_MODEL, LlamaOptions())
    except ModeldError as exc:
        return [_broken(exc.message)]
    build = msgspec.convert(told, Build)
    findings = [
        _version(build),
        *_instructions(build, cpu.available(root)),
        *_devices(build, gpus.seen(root)),
        *_files(build, spec, options, resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]),
    ]
    if spec is not None:
        findings += await _threads(spec, options, host)
    return findings


def rebuild(argument: str) -> str:
    """Return the command that builds llama-cpp-python anew."""
    return (
        f'CMAKE_ARGS="{argument}" pip install --force-reinstall --no-cache-dir --no-deps'
        " --no-binary llama-cpp-python llama-cpp-python"
    )


def _broken(why: str) -> Finding:
    if "SIGILL" in why:
        message = "llama.cpp was built for another processor and cannot run on this one (SIGILL)"
        fix = rebuild("-DGGML_NATIVE=on")
    else:
        message = f"llama.cpp cannot be loaded: {why}"
        fix = "pip install --force-reinstall llama-cpp-python"
    return Finding(subject="llama.cpp", level="error", message=message, fix=fix)


def _version(build: Build) -> Finding:
    return Finding(
        subject="llama.cpp",
        level="ok",
        message=f"llama-cpp-python {build.binding}, llama.cpp {build.version}, ggml {build.ggml}",
        facts={"binding": build.binding, "version": build.version, "ggml": build.ggml},
    )


def _instructions(build: Build, has: frozenset[str] | None) -> Iterator[Finding]:
    subject, built = "instructions", build.features
    facts: dict[str, JsonValue] = {"built": [*built], "processor": [*sorted(has or ())]}
    if has is None:
        message = f"built with {', '.join(built)}"
        yield Finding(subject=subject, level="ok", message=message, facts=facts)
    elif wrong := cpu.lacking(built, has):
        yield Finding(
            subject=subject,
            level="error",
            message=f"llama.cpp was built with {', '.join(wrong)}, which this processor lacks:"
            " a model's process ends with SIGILL",
            fix=rebuild("-DGGML_NATIVE=on"),
            facts=facts,
        )
    elif unused := cpu.unused(built, has):
        yield Finding(
            subject=subject,
            level="warning",
            message=f"this processor has {', '.join(unused)}, and llama.cpp was built without;"
            " it computes slower than it could",
            fix=rebuild("-DGGML_NATIVE=on"),
            facts=facts,
        )
    else:
        message = f"built with all that this processor has: {', '.join(built)}"
        yield Finding(subject=subject, level="ok", message=message, facts=facts)


def _devices(build: Build, seen: Sequence[Gpu]) -> Iterator[Finding]:
    used = [device for device in build.devices if device.kind == "gpu"]
    named = ", ".join(f"{gpu.vendor} {gpu.name}" for gpu in seen)
    if used:
        listed = ", ".join(f"{each.description} ({each.memory_bytes >> 20} MiB)" for each in used)
        total = sum(each.memory_bytes for each in used)
        facts: dict[str, JsonValue] = {"gpu_memory_bytes": total, "gpus": len(used)}
        yield Finding(subject="gpu", level="ok", message=f"llama.cpp uses {listed}", facts=facts)
    elif seen and not any(gpu.is_usable for gpu in seen):
        yield Finding(
            subject="gpu",
            level="warning",
            message=f"there is {named}, but no device for it that a program could open",
            fix="install its driver; in a container, pass the device on (docker run --gpus all)",
        )
    elif seen and not build.can_offload:
        usable = next(gpu for gpu in seen if gpu.is_usable)
        yield Finding(
            subject="gpu",
            level="warning",
            message=f"there is {named}, and llama.cpp was built without GPU support",
            fix=rebuild(_ARGUMENTS[usable.vendor]),
        )
    elif seen:
        yield Finding(
            subject="gpu",
            level="warning",
            message=f"llama.cpp was built with GPU support but finds no device; there is {named}",
            fix="see that the driver is as new as the build (nvidia-smi or rocminfo tells), and"
            " that CUDA_VISIBLE_DEVICES does not hide the GPU",
        )
    else:
        support = "with" if build.can_offload else "without"
        message = f"there is none, and llama.cpp was built {support} GPU support"
        yield Finding(subject="gpu", level="ok", message=message)


def _files(
    build: Build, spec: ModelSpec | None, options: LlamaOptions, lockable: int
) -> Iterator[Finding]:
    able = [name for name, can in (("mmap", build.can_map), ("mlock", build.can_lock)) if can]
    needed = spec.size_bytes if spec is not None else 0
    if options.mlock and not build.can_lock:
        yield Finding(
            subject="mlock",
            level="error",
            message="the option `mlock` is set, and llama.cpp cannot lock memory here",
            fix="take `mlock` out of the settings",
        )
    elif options.mlock and lockable != resource.RLIM_INFINITY and lockable < needed:
        yield Finding(
            subject="mlock",
            level="warning",
            message=f"the option `mlock` is set, and only {lockable >> 20} MiB may be locked"
            f" (ulimit -l); the model has {needed >> 20} MiB",
            fix="ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
        )
    else:
        message = f"{' and '.join(able) or 'neither mmap nor mlock'} can be used"
        yield Finding(subject="files", level="ok", message=message)


async def _threads(spec: ModelSpec, options: LlamaOptions, host: EngineHost) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(LIMIT_S):
            measured = await _watched("modeld_llama_cpp.doctor.speed:measure", spec, options, host)
    except TimeoutError:
        return [
            Finding(
                subject="threads",
                level="warning",
                message=f"not measured: {spec.id} was not loaded and run within {LIMIT_S:g} s",
                fix="measure with a smaller model (--model), or not (--no-measure)",
            )
        ]
    except ModeldError as exc:
        return [
            Finding(
                subject="threads",
                level="error",
                message=f"not measured, the model cannot be run: {exc.message}",
                fix="see what the message names, or measure with another model (--model)",
            )
        ]
    return [thread_advice.finding(spec, msgspec.convert(measured, Measured))]


async def _watched(
    function: str, spec: ModelSpec, options: LlamaOptions, host: EngineHost
) -> JsonValue:
    """Return the result of a call, whose progress is the time that it has taken."""
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    work = asyncio.ensure_future(host.call(function, spec, options))
    try:
        while not work.done():
            await asyncio.wait([work], timeout=_TICK_S)
            host.progress(min(0.99, (loop.time() - begun_s) / EXPECTED_S))
        return work.result()
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait([work])
