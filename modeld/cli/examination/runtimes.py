# SPDX-License-Identifier: GPL-3.0-only
"""What the backends say of themselves, and of how they run a model here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from modeld.cli.examination.catalogue import Catalogue, Loadable
from modeld.cli.examination.group import Group, error, failed, ok
from modeld.cli.table import size_text
from modeld.errors import ModeldError
from modeld.hosting.host import Hosting
from modeld.interfaces import Backend
from modeld.settings import nearest
from modeld.values import Finding, ModelSpec, Options

TITLE: Final = "backends"

EXAMINED_S: Final = 60.0
"""How long one backend may take to say what it is."""

MEASURED_S: Final = 120.0
"""How long it may take with a model to measure, the load included."""

LEAST_BYTES: Final = 32 << 20
"""A smaller model computes so little that it tells nothing of others."""

GPU_MEMORY: Final = "gpu_memory_bytes"
"""The fact in which a backend tells how much memory the GPUs have that it uses."""


def subject(catalogue: Catalogue, wanted: str | None, room_bytes: int | None) -> Loadable | Finding:
    """The model to measure with: the one that is wanted, or the smallest that is worth it.

    ``room_bytes`` is what it may need at most, ``None`` for any amount. Where there is none, the
    finding says why.
    """
    if wanted is not None:
        return catalogue.loadable.get(wanted) or _cannot_be_measured(catalogue, wanted)
    for each in catalogue.by_size:
        fits = room_bytes is None or each.need_bytes <= room_bytes
        if fits and each.spec.size_bytes >= LEAST_BYTES:
            return each
    return ok(
        "threads",
        f"not measured: there is no model of {size_text(LEAST_BYTES)} or more that fits now",
    )


async def examine_backends(
    backends: Sequence[Backend],
    measured: Loadable | None,
    hosting: Hosting,
    progress: Callable[[float], None],
) -> Group:
    """Ask each backend, and that of ``measured`` to run this model."""
    group = Group(TITLE)
    for backend in backends:
        if measured is not None and measured.backend is backend:
            asked = _ask(backend, measured.spec, measured.options, hosting, progress)
        else:
            asked = _ask(backend, None, None, hosting, lambda _fraction: None)
        group.findings.extend(await asked)
    return group


def gpu_bytes(group: Group) -> int:
    """The memory of all GPUs that the backends use, as far as they tell."""
    return sum(
        size
        for finding in group.findings
        if isinstance(size := finding.facts.get(GPU_MEMORY), int) and size > 0
    )


async def _ask(
    backend: Backend,
    spec: ModelSpec | None,
    options: Options | None,
    hosting: Hosting,
    progress: Callable[[float], None],
) -> Sequence[Finding]:
    limit_s = EXAMINED_S if spec is None else MEASURED_S
    try:
        async with asyncio.timeout(limit_s) as limit:
            options = backend.options_type() if options is None else options
            host = hosting.engine_host(progress)
            said: list[object] = list(await backend.examine(spec, options, host))
    except TimeoutError:
        why = f"it took longer than {limit_s:g} s" if limit.expired() else "it timed out"
        return [failed(backend.name, why)]
    except ModeldError as exc:
        return [failed(backend.name, exc.message)]
    except Exception as exc:  # noqa: BLE001  (a backend's fault must not stop the examination)
        return [failed(backend.name, f"{type(exc).__name__}: {exc}")]
    findings = [each for each in said if isinstance(each, Finding)]
    if len(findings) < len(said):
        findings.append(failed(backend.name, "it returned something that is no Finding"))
    return findings or [ok(backend.name, "it has nothing to say of this machine")]


def _cannot_be_measured(catalogue: Catalogue, wanted: str) -> Finding:
    known = {spec.id: spec for spec in catalogue.specs}
    if wanted in catalogue.refusals:
        why = catalogue.refusals[wanted].message
    elif wanted in known:
        why = f"{wanted!r} cannot be used: {known[wanted].problem or 'no backend is installed'}"
    else:
        why = f"there is no model {wanted!r}{nearest(wanted, list(known))}"
    return error("threads", f"not measured: {why}", "name a model that `modeld models` lists")
