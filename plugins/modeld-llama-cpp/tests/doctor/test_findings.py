# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import importlib
import resource
from pathlib import Path

import msgspec
import pytest
from modeld_llama_cpp.backend import LlamaCpp
from modeld_llama_cpp.doctor import build, findings
from modeld_llama_cpp.doctor.facts import Build, Device, Measured, Samples
from modeld_llama_cpp.options import LlamaOptions

from modeld import Engine, Finding, ModelSpec, Options
from modeld.errors import InvalidModelError, LoadFailedError
from modeld.values import JsonValue

SPEC = ModelSpec(id="m.gguf", name="m", path="m.gguf", size_bytes=100 << 20)
CPU_ONLY = Build(
    binding="0.3.36",
    version="0.5.0",
    ggml="0.25.3",
    features=("AVX", "AVX2"),
    can_offload=False,
    can_map=True,
    can_lock=True,
)


class Host:
    """Answers calls from a table; an exception in it is raised."""

    def __init__(self, **responses: object) -> None:
        self._responses = responses
        self.fractions: list[float] = []
        self.called: list[str] = []

    async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
        raise AssertionError("nothing is to be loaded")

    async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
        self.called.append(function)
        response = self._responses[function.partition(":")[2]]
        if isinstance(response, Exception):
            raise response
        return msgspec.to_builtins(response)

    def progress(self, fraction: float) -> None:
        self.fractions.append(fraction)


def root_with(folder: Path, flags: str = "avx avx2", **files: str) -> Path:
    """Another machine: a processor with these flags, and files by name (``__`` for ``/``)."""
    named = {"proc/cpuinfo": f"processor: 0\nflags\t\t: fpu {flags}\n"}
    named |= {name.replace("__", "/"): text for name, text in files.items()}
    for name, text in named.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def found(
    root: Path,
    built: Build | Exception = CPU_ONLY,
    options: LlamaOptions | None = None,
    spec: ModelSpec | None = None,
    **responses: object,
) -> dict[str, Finding]:
    host = Host(read=built, **responses)
    diagnosed = findings.diagnose(spec, options or LlamaOptions(), host, root)
    return {finding.subject: finding for finding in asyncio.run(diagnosed)}


def test_a_build_that_fits_the_machine_has_nothing_to_mend(tmp_path: Path) -> None:
    findings = found(root_with(tmp_path))
    assert {finding.level for finding in findings.values()} == {"ok"}
    assert "llama-cpp-python 0.3.36" in findings["llama.cpp"].message
    assert "AVX2" in findings["instructions"].message


def test_instructions_that_the_build_leaves_unused_are_named_with_the_rebuild(
    tmp_path: Path,
) -> None:
    finding = found(root_with(tmp_path, "avx avx2 fma f16c"))["instructions"]
    assert finding.level == "warning"
    assert "has F16C, FMA" in finding.message
    assert finding.fix is not None
    assert 'CMAKE_ARGS="-DGGML_NATIVE=on" pip install' in finding.fix


def test_a_part_of_what_a_set_of_instructions_takes_is_not_the_set(tmp_path: Path) -> None:
    assert found(root_with(tmp_path, "avx avx2 avx512f"))["instructions"].level == "ok"


def test_a_build_for_another_processor_is_an_error(tmp_path: Path) -> None:
    finding = found(root_with(tmp_path, "avx"))["instructions"]
    assert finding.level == "error"
    assert "AVX2, which this processor lacks" in finding.message


def test_a_library_that_dies_of_an_instruction_is_known_for_it(tmp_path: Path) -> None:
    died = LoadFailedError("the model's process ended: signal SIGILL")
    findings = found(root_with(tmp_path), died)
    assert list(findings) == ["llama.cpp"]
    assert findings["llama.cpp"].level == "error"
    assert "another processor" in findings["llama.cpp"].message


def test_a_library_that_cannot_be_imported_says_why(tmp_path: Path) -> None:
    missing = LoadFailedError("ModuleNotFoundError: No module named 'llama_cpp'")
    finding = found(root_with(tmp_path), missing)["llama.cpp"]
    assert (finding.level, finding.fix) == (
        "error",
        "pip install --force-reinstall llama-cpp-python",
    )
    assert "No module named" in finding.message


NVIDIA = {
    "dev__nvidia0": "",
    "dev__nvidiactl": "",
    "proc__driver__nvidia__gpus__0000:01:00.0__information": "Model: \t H100 80GB\nIRQ: 1\n",
}
ON_BUS = {
    "sys__bus__pci__devices__0000:01:00.0__vendor": "0x1002\n",
    "sys__bus__pci__devices__0000:01:00.0__class": "0x030000\n",
}


@pytest.mark.parametrize(
    ("files", "says", "fix"),
    [
        (NVIDIA, "NVIDIA H100 80GB, and llama.cpp was built without GPU", "-DGGML_CUDA=on"),
        ({"dev__nvidia0": ""}, "NVIDIA nvidia0, and llama.cpp was built without", "GGML_CUDA"),
        (ON_BUS | {"dev__kfd": ""}, "AMD GPU at 0000:01:00.0, and llama.cpp", "-DGGML_HIP=on"),
        (ON_BUS, "no device for it that a program could open", "install its driver"),
    ],
)
def test_a_gpu_that_the_build_cannot_use_is_a_warning(
    tmp_path: Path, files: dict[str, str], says: str, fix: str
) -> None:
    finding = found(root_with(tmp_path, **files))["gpu"]
    assert finding.level == "warning"
    assert says in finding.message
    assert fix in str(finding.fix)


def test_a_gpu_that_its_driver_tells_of_is_not_told_again_from_the_bus(tmp_path: Path) -> None:
    on_bus = {name: text.replace("0x1002", "0x10de") for name, text in ON_BUS.items()}
    message = found(root_with(tmp_path, **NVIDIA | on_bus))["gpu"].message
    assert message.count("NVIDIA") == 1


def test_what_else_the_makers_of_gpus_make_is_no_gpu(tmp_path: Path) -> None:
    bridge = {name: text.replace("0x030000", "0x060400") for name, text in ON_BUS.items()}
    assert "there is none" in found(root_with(tmp_path, **bridge))["gpu"].message


def test_graphics_that_compute_no_faster_are_no_reason_to_rebuild(tmp_path: Path) -> None:
    intel = {name: text.replace("0x1002", "0x8086") for name, text in ON_BUS.items()}
    assert found(root_with(tmp_path, **intel))["gpu"].level == "ok"


def test_a_gpu_in_use_tells_its_memory(tmp_path: Path) -> None:
    gpu = Device(name="CUDA0", description="H100", kind="gpu", memory_bytes=80 << 30)
    cpu = Device(name="CPU", description="EPYC", kind="cpu", memory_bytes=1 << 30)
    built = msgspec.structs.replace(CPU_ONLY, can_offload=True, devices=(cpu, gpu))
    finding = found(root_with(tmp_path, **NVIDIA), built)["gpu"]
    assert finding.level == "ok"
    assert finding.message == "llama.cpp uses H100 (81920 MiB)"
    assert finding.facts["gpu_memory_bytes"] == 80 << 30


def test_a_build_for_gpus_that_finds_none_is_a_warning_only_where_there_is_one(
    tmp_path: Path,
) -> None:
    built = msgspec.structs.replace(CPU_ONLY, can_offload=True)
    assert found(root_with(tmp_path), built)["gpu"].level == "ok"
    finding = found(root_with(tmp_path, **NVIDIA), built)["gpu"]
    assert finding.level == "warning"
    assert "finds no device" in finding.message


@pytest.mark.parametrize(
    ("lockable", "can_lock", "level", "says"),
    [
        (8 << 20, True, "warning", "only 8 MiB may be locked (ulimit -l); the model has 100 MiB"),
        (200 << 20, True, "ok", "mmap and mlock"),
        (resource.RLIM_INFINITY, True, "ok", "mmap and mlock"),
        (0, False, "error", "cannot lock memory"),
    ],
)
def test_locking_that_is_asked_for_must_be_allowed(
    monkeypatch: pytest.MonkeyPatch, lockable: int, can_lock: bool, level: str, says: str
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (lockable, lockable))
    built = msgspec.structs.replace(CPU_ONLY, can_lock=can_lock)
    no_measurement = LoadFailedError("enough")
    findings = found(
        Path("/nowhere"), built, LlamaOptions(mlock=True), SPEC, measure=no_measurement
    )
    finding = findings.get("mlock") or findings["files"]
    assert finding.level == level
    assert says in finding.message


def test_with_a_model_the_threads_are_measured_in_a_worker(tmp_path: Path) -> None:
    speeds = Samples(threads=2, read=(50.0,) * 5, written=(9.0,) * 5)
    measured = Measured(threads=2, threads_batch=2, prompt_tokens=64, others=0.0, samples=(speeds,))
    finding = found(root_with(tmp_path), spec=SPEC, measure=measured)["threads"]
    assert finding.level == "ok"
    assert "2 threads 9.0 tokens/s written and 50 read" in finding.message


def test_a_model_that_cannot_be_run_is_an_error_beside_the_others(tmp_path: Path) -> None:
    broken = InvalidModelError("m.gguf: the file is cut off")
    findings = found(root_with(tmp_path), spec=SPEC, measure=broken)
    assert findings["threads"].level == "error"
    assert "the file is cut off" in findings["threads"].message
    assert findings["llama.cpp"].level == "ok"


def test_whoever_watches_sees_the_time_go_on(tmp_path: Path) -> None:
    class Slow(Host):
        watched = asyncio.Event()

        def progress(self, fraction: float) -> None:
            super().progress(fraction)
            self.watched.set()

        async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
            if function.endswith("measure"):
                await self.watched.wait()
            return await super().call(function, spec, options)

    host = Slow(read=CPU_ONLY, measure=LoadFailedError("enough"))
    asyncio.run(findings.diagnose(SPEC, LlamaOptions(), host, root_with(tmp_path)))
    assert 0 < host.fractions[0] < 1


class Hanging(Host):
    """Its measurements have no end of their own."""

    def __init__(self) -> None:
        super().__init__(read=CPU_ONLY)
        self.ended: list[str] = []

    async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
        if function.endswith("measure"):
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.append(function)
        return await super().call(function, spec, options)


def test_giving_up_ends_the_measurement(tmp_path: Path) -> None:
    host = Hanging()

    async def give_up() -> None:
        async with asyncio.timeout(0.05):
            await findings.diagnose(SPEC, LlamaOptions(), host, root_with(tmp_path))

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    assert host.ended == ["modeld_llama_cpp.doctor.speed:measure"]


def test_a_model_that_takes_too_long_costs_none_of_the_other_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "LIMIT_S", 0.05)
    host = Hanging()
    found = asyncio.run(findings.diagnose(SPEC, LlamaOptions(), host, root_with(tmp_path)))
    assert [finding.subject for finding in found[:2]] == ["llama.cpp", "instructions"]
    assert found[-1].level == "warning"
    assert "m.gguf was not loaded and run within 0.05 s" in found[-1].message
    assert "smaller model" in str(found[-1].fix)
    assert host.ended == ["modeld_llama_cpp.doctor.speed:measure"]


def test_the_real_build_says_what_it_is() -> None:
    told = msgspec.convert(build.read(SPEC, {}), Build)
    assert told.binding[0].isdecimal()
    assert told.features
    assert told.can_map
    assert [device.kind for device in told.devices].count("cpu") == 1
    assert all(device.memory_bytes > 0 for device in told.devices)


def test_a_binding_without_the_functions_of_ggml_still_has_its_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Library:
        """Exports nothing."""

    monkeypatch.setattr(build.binding, "_lib", Library())
    told = msgspec.convert(build.read(SPEC, {}), Build)
    assert (told.ggml, told.devices) == ("unknown", ())


@pytest.mark.parametrize(
    ("line", "features"),
    [
        ("CPU : AVX = 1 | AVX2 = 0 | FMA = 1 | ", ("AVX", "FMA")),
        ("CUDA : ARCHS = 890 | F16 = 1 | CPU : NEON = 1 | ", ("NEON",)),
        ("CPU : AVX = 1 | CUDA : F16 = 1 | ", ("AVX",)),
        ("", ()),
    ],
)
def test_the_features_are_those_of_the_processor_part(line: str, features: object) -> None:
    assert build.features(line) == features


def test_the_backend_diagnoses_with_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(read=LoadFailedError("no"))
    (finding,) = asyncio.run(LlamaCpp().diagnose(None, LlamaOptions(), host))
    assert finding.level == "error"


def test_the_functions_are_where_the_findings_call_them() -> None:
    host = Host(read=CPU_ONLY, measure=LoadFailedError("no"))
    asyncio.run(findings.diagnose(SPEC, LlamaOptions(), host))
    assert len(host.called) == 2
    for name in host.called:
        module, _, function = name.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
