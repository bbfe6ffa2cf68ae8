# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from modeld_llama_cpp.native.buffers import (
    MIB,
    Buffer,
    beside_weights,
    buffers,
    cache_bytes,
    free_mb,
    held_bytes,
    offloaded,
    on_gpus,
)
from modeld_llama_cpp.native.native_log import LogLine

MAPPED = "load_tensors:   CPU_Mapped model buffer size =   200.00 MiB\n"
REPACKED = "load_tensors:   CPU_REPACK model buffer size =    60.00 MiB\n"
OWN = "load_tensors:          CPU model buffer size =   140.00 MiB\n"
CACHE = "llama_kv_cache:        CPU KV buffer size =    90.00 MiB\n"
CACHE_SIZE = "llama_kv_cache: size =   90.00 MiB (  4096 cells,  30 layers), K (f16):   45.00 MiB\n"
STATE_SIZE = "llama_memory_recurrent: size =    0.50 MiB (     4 cells,   3 layers,  4 seqs)\n"
OUTPUT = "llama_context:        CPU  output buffer size =     0.75 MiB\n"
COMPUTE = "sched_reserve:        CPU compute buffer size =     4.38 MiB\n"
ON_GPU = "load_tensors:        CUDA0 model buffer size =   200.00 MiB\n"


def lines(*texts: str) -> list[LogLine]:
    return [LogLine(2, text) for text in texts]


def test_buffers_are_read_from_the_log() -> None:
    assert list(buffers(lines(MAPPED, CACHE, CACHE_SIZE, OUTPUT, "graph: nodes = 936\n"))) == [
        Buffer("CPU_Mapped", "model", 200 * MIB),
        Buffer("CPU", "KV", 90 * MIB),
        Buffer("CPU", "output", 768 * 1024),
    ]


def test_all_buffers_count() -> None:
    logged = lines(OWN, REPACKED, CACHE, CACHE_SIZE, OUTPUT, COMPUTE)
    assert held_bytes(logged, 200 * MIB) == round((200 + 90 + 0.75 + 4.38) * MIB)


def test_weights_that_were_copied_out_of_the_mapped_file_count_once() -> None:
    assert held_bytes(lines(MAPPED, REPACKED), 200 * MIB) == 200 * MIB
    assert held_bytes(lines(OWN, REPACKED), 200 * MIB) == 200 * MIB


def test_weights_on_two_devices_count_twice() -> None:
    assert held_bytes(lines(MAPPED, ON_GPU), 300 * MIB) == 400 * MIB
    assert held_bytes(lines(MAPPED, ON_GPU, REPACKED), 430 * MIB) == 430 * MIB
    assert held_bytes(lines(MAPPED, ON_GPU, REPACKED), 300 * MIB) == 400 * MIB


def test_the_cache_is_sized_whether_it_is_allocated_or_not() -> None:
    assert cache_bytes(lines(CACHE_SIZE, STATE_SIZE)) == round(90.5 * MIB)
    sliding = CACHE_SIZE.replace("90.00 MiB (", "60.00 MiB (")
    assert cache_bytes(lines(CACHE, CACHE_SIZE, sliding)) == 150 * MIB


def test_what_the_heap_grew_by_beside_the_weights_is_the_vocabulary() -> None:
    assert beside_weights(lines(MAPPED), 15 * MIB) == 15 * MIB
    assert beside_weights(lines(MAPPED, REPACKED), 75 * MIB) == 15 * MIB
    assert beside_weights(lines(OWN, REPACKED), 215 * MIB) == 15 * MIB


def test_a_heap_that_cannot_be_measured_adds_nothing() -> None:
    assert beside_weights(lines(OWN), 0) == 0


def test_what_a_devices_driver_takes_is_not_counted() -> None:
    assert beside_weights(lines(MAPPED, ON_GPU), 300 * MIB) == 0


def test_what_is_on_which_gpu_is_told_by_the_names_of_the_buffers() -> None:
    second = "llama_kv_cache:      ROCm1 KV buffer size =    90.00 MiB\n"
    pinned = "sched_reserve:  CUDA_Host compute buffer size =    12.00 MiB\n"
    shared = "load_tensors:  MTL0 model buffer size =    12.00 MiB\n"
    logged = lines(MAPPED, ON_GPU, ON_GPU, second, pinned, shared)
    assert on_gpus(buffers(logged)) == {"gpu0": 400 * MIB, "gpu1": 90 * MIB}
    assert on_gpus(buffers(lines(MAPPED, CACHE))) == {}


def test_the_log_tells_the_free_memory_of_gpus_and_the_layers_on_them() -> None:
    first = "llama_prepare_model_devices: using device CUDA0 (NVIDIA H200) (0:1.0) - 142 MiB free\n"
    second = "llama_prepare_model_devices: using device CUDA1 (NVIDIA H200) (0:2.0) - 71 MiB free\n"
    logged = lines(first, second, "load_tensors: offloaded 20/31 layers to GPU\n")
    assert free_mb(logged) == {"gpu0": 142, "gpu1": 71}
    assert offloaded(logged) == (20, 31)
    assert (free_mb([]), offloaded([])) == ({}, (0, 1))
