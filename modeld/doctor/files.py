# SPDX-License-Identifier: GPL-3.0-only
"""Where the models' files lie: the kind of file system, its free space, and who may change them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from modeld.doctor.report import ok, warning
from modeld.machine.files import Machine
from modeld.sizes import size_text
from modeld.values import Finding, ModelSpec

NETWORK: Final = frozenset({
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.davfs2", "fuse.gcsfuse",
    "fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "glusterfs",
    "lustre", "nfs", "nfs4", "smb3", "smbfs",
})  # fmt: skip
"""File systems whose files come over a network."""

LEAST_FREE_BYTES: Final = 1 << 30
_LEAST_FREE_SHARE: Final = 0.02


class Mount(NamedTuple):
    """Where a file system is mounted, and its type."""

    point: str
    kind: str


def check_file_system(folder: Path, machine: Machine) -> Iterator[Finding]:
    """Check whether the folder's file system is a local one with space left."""
    if not folder.is_dir():
        return
    mount = mount_of(folder.resolve(), machine)
    kind = mount.kind if mount else "unknown"
    if mount is not None and kind in NETWORK:
        yield warning(
            "file system",
            f"the models lie on a network file system ({kind} at {mount.point}): a load waits for"
            " the network, and where it is cut, a model that is mapped ends or hangs",
            "copy the models to a local disk",
            kind=kind,
        )
    total, _, free = machine.disk(folder)
    said = f"{kind}, {size_text(free)} of {size_text(total)} free"
    if free < max(LEAST_FREE_BYTES, total * _LEAST_FREE_SHARE):
        yield warning("disk", f"{said}: nearly full", f"make room there: {folder}", free_bytes=free)
    else:
        yield ok("disk", said, kind=kind, free_bytes=free)


def check_permissions(folders: Sequence[Path], specs: Sequence[ModelSpec]) -> Iterator[Finding]:
    """Check whether anybody may replace one of these models by another."""
    paths = [*folders, *(Path(spec.path) for spec in specs)]
    writable = [path for path in paths if _is_everybodys(path)]
    if writable:
        more = f" and {len(writable) - 1} more" if len(writable) > 1 else ""
        yield warning(
            "permissions",
            f"everybody on this machine may write to {writable[0]}{more}; a model's file decides"
            " what it generates",
            f"chmod -R o-w {' '.join(map(str, folders))}",
            paths=[str(path) for path in writable],
        )


def mount_of(path: Path, machine: Machine) -> Mount | None:
    """Return the mount that a path is on, as ``/proc/self/mountinfo`` has it."""
    found: Mount | None = None
    for line in machine.text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if len(fields) < 5 or not kinds:
            continue
        point = _unescaped(fields[4])
        if path.is_relative_to(point) and (found is None or len(point) >= len(found.point)):
            found = Mount(point, kinds[0])
    return found


def _unescaped(text: str) -> str:
    r"""Return a path as the kernel meant it; it writes a space as ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _is_everybodys(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX
