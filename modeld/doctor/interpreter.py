# SPDX-License-Identifier: GPL-3.0-only
"""Python, the libraries beside modeld, and which ``modeld`` a shell finds."""

from __future__ import annotations

import importlib
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from modeld.doctor.report import error, ok, warning
from modeld.values import Finding

OLDEST, NEWEST = (3, 11), (3, 14)
"""The versions of Python that modeld is tested with."""

IMPORTED: Final = ("msgspec", "uvicorn", "httptools", "starlette", "pluggy")
"""Libraries that are imported to see whether they can be: some have compiled parts."""

_REINSTALL: Final = "pip install --upgrade --force-reinstall"
_FLOOR = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*(?:>=\s*([0-9][\w.]*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """The interpreter that runs this."""

    version: tuple[int, ...] = sys.version_info[:3]
    implementation: str = platform.python_implementation()
    bits: int = 64 if sys.maxsize > 1 << 32 else 32
    is_free_threaded: bool = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    is_in_environment: bool = sys.prefix != sys.base_prefix
    executable: str = sys.executable


def check_python(python: Python) -> Iterator[Finding]:
    """Check whether modeld is tested with this interpreter."""
    shown = ".".join(map(str, python.version))
    where = "in a virtual environment" if python.is_in_environment else "without an environment"
    said = f"{python.implementation} {shown}, {python.bits} bits, {where}: {python.executable}"
    supported = f"{_dotted(OLDEST)} to {_dotted(NEWEST)}"
    if python.version[:2] < OLDEST:
        yield error("python", f"{said}; modeld needs {supported}", f"install Python {supported}")
    elif python.version[:2] > NEWEST:
        yield warning("python", f"{said}; tested is {supported}", f"use Python {supported}")
    elif python.bits < 64:
        yield warning("python", f"{said}; models over 2 GiB cannot be mapped", "use 64-bit Python")
    else:
        yield ok("python", said, version=shown)
    if python.is_free_threaded:
        yield warning(
            "python",
            "this is a free-threaded build, and modeld is not tested with one",
            "use the usual build of Python; models run in processes of their own anyway",
        )


def check_libraries(
    distributions: Iterable[str],
    requires: Callable[[str], list[str] | None] = metadata.requires,
    version: Callable[[str], str] = metadata.version,
) -> Iterator[Finding]:
    """Check whether what these distributions need is installed and new enough."""
    count, wrong = 0, 0
    for distribution in distributions:
        for requirement in requires(distribution) or ():
            if ";" in requirement:  # it belongs to an extra, or to another system
                continue
            count += 1
            for finding in _check_requirement(distribution, requirement, version):
                wrong += 1
                yield finding
    if not wrong:
        yield ok("libraries", f"all {count} requirements are installed and new enough")


def check_imports(
    names: Iterable[str] = IMPORTED, load: Callable[[str], object] = importlib.import_module
) -> Iterator[Finding]:
    """Check whether the libraries that have compiled parts can be imported."""
    good = []
    for name in names:
        try:
            load(name)
        except Exception as exc:  # noqa: BLE001  (a broken library may raise anything)
            yield error(
                name, f"it cannot be imported: {type(exc).__name__}: {exc}", f"{_REINSTALL} {name}"
            )
        else:
            good.append(name)
    if good:
        yield ok("imports", ", ".join(good))


def check_command(environ: Mapping[str, str], scripts: Path) -> Iterator[Finding]:
    """Check whether a shell that is asked for ``modeld`` runs this one, which is in ``scripts``."""
    ours = scripts / "modeld"
    found = shutil.which("modeld", path=environ.get("PATH", ""))
    if found is None:
        yield ok("command", f"no modeld is on the PATH; this one is {ours}")
    elif not ours.exists() or Path(found).resolve() == ours.resolve():
        yield ok("command", f"modeld on the PATH is this one: {found}")
    else:
        yield warning(
            "command",
            f"modeld on the PATH is another one: {found}; this one is {ours}",
            f"put {scripts} first on the PATH, or call this one by its whole path",
        )


def _check_requirement(
    distribution: str, requirement: str, version: Callable[[str], str]
) -> Iterator[Finding]:
    match = _FLOOR.match(requirement)
    if match is None:
        return
    name, floor = match[1], match[2] or ""
    try:
        installed = version(name)
    except metadata.PackageNotFoundError:
        yield error(name, f"{distribution} needs it, and it is missing", f'pip install "{name}"')
        return
    if _numbers(installed) < _numbers(floor):
        yield error(
            name,
            f"version {installed} is installed, {distribution} needs {floor} or later",
            f'pip install "{name}>={floor}"',
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, without zeros at the end, to compare them."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = re.match(r"\d+", part)
        if digits is None:
            break
        numbers.append(int(digits[0]))
        if digits[0] != part:
            break
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
