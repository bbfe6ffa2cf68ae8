# SPDX-License-Identifier: GPL-3.0-only
"""The backends: what each says of its build and of this machine, and how it runs a model here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Final, TypeGuard

import msgspec

from modeld.device_bytes import DeviceBytes
from modeld.doctor.inventory import Inventory, Loadable
from modeld.doctor.report import Group, error, failed, ok
from modeld.errors import ModeldError
from modeld.expectation import nearest
from modeld.hosting.host import Hosting
from modeld.interfaces import Backend
from modeld.plugins.guard import described, is_ours
from modeld.sizes import size_text
from modeld.values import Finding, ModelSpec, Options

TITLE: Final = "backends"

DIAGNOSED_S: Final = 60.0
"""How long one backend may take to say what it is."""

MEASURED_S: Final = 120.0
"""How long it may take with a model to measure, the load included."""

LEAST_BYTES: Final = 32 << 20
"""A smaller model computes so little that it tells nothing of others."""

_LEVELS: Final = ("ok", "warning", "error")


def subject(inventory: Inventory, wanted: str | None, available: DeviceBytes) -> Loadable | Finding:
    """Return the model to measure with: the one wanted, or the smallest that is worth it.

    ``available`` is what it may need at most. Where no model is
    found, the finding says why.
    """
    if wanted is not None:
        return inventory.loadable.get(wanted) or _cannot_be_measured(inventory, wanted)
    for each in inventory.by_size:
        fits = each.need.fits_within(available)
        if fits and each.spec.size_bytes >= LEAST_BYTES:
            return each
    return ok(
        "threads",
        f"not measured: there is no model of {size_text(LEAST_BYTES)} or more that fits now",
    )


async def diagnose_backends(
    backends: Sequence[Backend],
    measured: Loadable | None,
    hosting: Hosting,
    progress: Callable[[float], None],
) -> Group:
    """Ask each backend for its findings, and that of ``measured`` to run this model."""
    group = Group(TITLE)
    for backend in backends:
        if measured is not None and measured.backend is backend:
            diagnosed = _findings_of(backend, measured.spec, measured.options, hosting, progress)
        else:
            diagnosed = _findings_of(backend, None, None, hosting, lambda _fraction: None)
        group.findings.extend(await diagnosed)
    return group


async def _findings_of(
    backend: Backend,
    spec: ModelSpec | None,
    options: Options | None,
    hosting: Hosting,
    progress: Callable[[float], None],
) -> Sequence[Finding]:
    limit_s = DIAGNOSED_S if spec is None else MEASURED_S
    try:
        async with asyncio.timeout(limit_s) as limit:
            options = backend.options_type() if options is None else options
            host = hosting.engine_host(progress)
            try:
                said: list[object] = list(await backend.diagnose(spec, options, host))
            finally:
                await host.aclose()
    except TimeoutError:
        why = f"it took longer than {limit_s:g} s" if limit.expired() else "it timed out"
        return [failed(backend.name, why)]
    except ModeldError as exc:
        return [failed(backend.name, exc.message)]
    except BaseException as exc:
        if is_ours(exc):
            raise
        return [failed(backend.name, described(exc))]  # its fault must not stop the doctor
    findings = [each for each in said if _is_sound(each)]
    if len(findings) < len(said):
        findings.append(failed(backend.name, "it returned something that is no Finding"))
    return findings or [ok(backend.name, "it has nothing to say of this machine")]


def _is_sound(said: object) -> TypeGuard[Finding]:
    """Return whether it is a finding with every member of its type: a struct takes whatever comes.

    A wrong one would stop the report of all the others.
    """
    if not isinstance(said, Finding):
        return False
    try:
        json.dumps(msgspec.to_builtins(said))
    except Exception:  # noqa: BLE001  (a foreign object may raise anything)
        return False
    texts = (said.subject, said.message, said.fix or "")
    are_texts = all(isinstance(text, str) for text in texts)
    return are_texts and said.level in _LEVELS and isinstance(said.facts, dict)


def _cannot_be_measured(inventory: Inventory, wanted: str) -> Finding:
    known = {spec.id: spec for spec in inventory.specs}
    if wanted in inventory.refusals:
        why = inventory.refusals[wanted].message
    elif wanted in known:
        why = f"{wanted!r} cannot be used: {known[wanted].problem or 'no backend is installed'}"
    else:
        why = f"there is no model {wanted!r}{nearest(wanted, list(known))}"
    return error("threads", f"not measured: {why}", "name a model that `modeld models` lists")
