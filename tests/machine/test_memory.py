# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest

from modeld.machine.files import Machine
from modeld.machine.memory import Memory, read_capacity, read_memory
from tests.support.doctor.another_machine import GIB, MEMINFO, a_gpu, machine


def test_memory_is_what_the_kernel_says(tmp_path):
    found = read_memory(machine(tmp_path, {"/proc/meminfo": MEMINFO}))
    assert found == Memory(16 * GIB, 8 * GIB, 4 * GIB, 4 * GIB)


def test_where_the_kernel_does_not_tell_nothing_is_known(tmp_path):
    assert read_memory(machine(tmp_path)) is None


SECOND = {
    "/proc/self/cgroup": "0::/a/b\n",
    "/sys/fs/cgroup/a/b/memory.max": "max\n",
    "/sys/fs/cgroup/a/memory.max": f"{4 * GIB}\n",
    "/sys/fs/cgroup/a/memory.current": f"{3 * GIB}\n",
    "/sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {GIB}\nactive_file {GIB}\n",
}
FIRST = {
    "/proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/abc\n",
    "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{4 * GIB}\n",
    "/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": f"{3 * GIB}\n",
    "/sys/fs/cgroup/memory/docker/abc/memory.stat": f"total_inactive_file {2 * GIB}\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
}


@pytest.mark.parametrize("files", [SECOND, FIRST], ids=["second version", "first version"])
def test_a_control_groups_limit_is_all_that_there_is(tmp_path, files):
    found = read_memory(machine(tmp_path, {"/proc/meminfo": MEMINFO} | files))
    assert found is not None
    assert (found.total_bytes, found.available_bytes, found.limited) == (4 * GIB, 3 * GIB, True)


def test_a_limit_above_the_machines_memory_does_not_count(tmp_path):
    files = SECOND | {"/sys/fs/cgroup/a/memory.max": f"{99 * GIB}"}
    found = read_memory(machine(tmp_path, {"/proc/meminfo": MEMINFO} | files))
    assert found is not None
    assert (found.total_bytes, found.limited) == (16 * GIB, False)


def test_the_smallest_limit_counts_and_what_the_fullest_group_leaves(tmp_path):
    files = {
        "/proc/self/cgroup": "0::/a/b\n",
        "/sys/fs/cgroup/a/b/memory.max": f"{4 * GIB}\n",
        "/sys/fs/cgroup/a/b/memory.current": "0\n",
        "/sys/fs/cgroup/a/memory.max": f"{32 * GIB}\n",
        "/sys/fs/cgroup/a/memory.current": f"{31 * GIB}\n",
    }
    found = read_memory(machine(tmp_path, {"/proc/meminfo": MEMINFO} | files))
    assert found is not None
    assert (found.total_bytes, found.available_bytes, found.limited) == (4 * GIB, GIB, True)


def test_without_gpus_main_memory_is_all_there_is(tmp_path):
    here = read_capacity(machine(tmp_path, {"/proc/meminfo": MEMINFO}))
    assert here == (16 * GIB, "16384 MiB of main memory")


def test_the_control_groups_limit_is_named(tmp_path):
    here = read_capacity(machine(tmp_path, {"/proc/meminfo": MEMINFO} | SECOND))
    assert here == (4 * GIB, "4096 MiB of main memory (limit of the control group)")


def test_the_memory_of_gpus_counts_where_it_is_known(tmp_path):
    a_gpu(tmp_path, 128, "amdgpu", mem_info_vram_total=24 * GIB)
    here = read_capacity(a_gpu(tmp_path, 129, "amdgpu", mem_info_vram_total=8 * GIB))
    assert here == (48 * GIB, "16384 MiB of main memory and 32768 MiB of GPU memory")


@pytest.mark.parametrize("driver", ["i915", "virtio_gpu", "panfrost"])
def test_graphics_without_memory_of_their_own_add_nothing(tmp_path, driver):
    assert read_capacity(a_gpu(tmp_path, 128, driver)).size_bytes == 16 * GIB


def test_a_card_of_intels_has_local_memory(tmp_path):
    here = a_gpu(tmp_path, 128, "i915")
    card = tmp_path / "sys/class/drm/renderD128/device/drm/card0"
    card.mkdir(parents=True)
    (card / "lmem_total_bytes").write_text(f"{8 * GIB}\n")
    assert read_capacity(here).size_bytes == 24 * GIB


@pytest.mark.parametrize("driver", ["xe", "nouveau", "amdgpu", "made_tomorrow"])
def test_a_gpu_whose_memory_no_file_tells_leaves_it_open(tmp_path, driver):
    here = read_capacity(a_gpu(tmp_path, 128, driver))
    assert here == (None, here.said)
    assert "of the GPU" in here.said


@pytest.mark.parametrize("node", ["nvidia0", "nvidia12", "dxg"])
def test_a_gpu_of_nvidias_leaves_it_open(tmp_path, node):
    here = machine(tmp_path, {"/proc/meminfo": MEMINFO, f"/dev/{node}": ""})
    said = f"the memory of the GPU /dev/{node} is not known here"
    assert read_capacity(here) == (None, said)


def test_an_nvidia_driver_without_a_device_in_this_container_is_no_gpu(tmp_path):
    a_gpu(tmp_path, 128, "nvidia")
    here = machine(tmp_path, {"/proc/meminfo": MEMINFO, "/dev/nvidiactl": ""})
    assert read_capacity(here).size_bytes == 16 * GIB


def test_where_the_kernel_does_not_tell_the_capacity_is_open(tmp_path):
    assert read_capacity(machine(tmp_path)).size_bytes is None


def test_this_machine_can_be_read():
    assert read_capacity(Machine()).said
