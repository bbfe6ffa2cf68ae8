# SPDX-License-Identifier: GPL-3.0-only
"""The models that the settings pin, and whether they fit into the budget together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from modeld.device_bytes import NOTHING, DeviceBytes
from modeld.errors import ConfigurationError
from modeld.serving.state.budget import Ledger
from modeld.settings import Settings
from modeld.settings.model_rows import (
    says_anywhere,
    serving_options_of,
    shares_weights,
)
from modeld.values import ModelSpec


class Pins:
    """Finds the pinned models among those that ``specs`` returns."""

    def __init__(self, settings: Settings, specs: Callable[[], Sequence[ModelSpec]]) -> None:
        self._settings = settings
        self._specs = specs
        self._released: set[str] = set()
        self._found: tuple[Sequence[ModelSpec], frozenset[str]] = ((), frozenset())

    def wanted(self) -> frozenset[str]:
        """Return the ids of the models whose entries are pinned.

        A preset that shares the weights of its model pins that one.
        """
        specs, found = self._found
        # The same object until a source has said something else: all models need not be compared.
        if specs is not self._specs():
            specs = self._specs()
            pinned = filter(self._is_pinned, specs) if says_anywhere("pin", self._settings) else ()
            found = frozenset(map(self._served, pinned))
            self._found = specs, found
        return found - self._released

    def note(self, model: str, *, pinned: bool) -> None:
        """Go by what somebody has said of a model since the settings were read."""
        if pinned:
            self._released.discard(model)
        else:
            self._released.add(model)

    def _is_pinned(self, spec: ModelSpec) -> bool:
        return spec.problem is None and serving_options_of(spec, self._settings).pin

    def _served(self, spec: ModelSpec) -> str:
        return spec.preset_of if shares_weights(spec, self._settings) else spec.id


def check_pins(needs: Mapping[str, DeviceBytes], ledger: Ledger) -> None:
    """Check that the pinned models fit beside each other; ``needs`` are their estimates.

    Raises:
        ConfigurationError: they do not; it has the numbers.
    """
    needed = sum(needs.values(), NOTHING)
    if not needs or ledger.can_ever_hold(needed):
        return
    short = ledger.short(needed, ledger.ever)
    total = int(needed.on(short.device))
    each = ", ".join(
        f"{model!r} {int(size.on(short.device)) >> 20} MiB" for model, size in needs.items()
    )
    limit = short.most_bytes
    if limit is not None and total > limit:
        allow = f"{short.setting} less memory_margin_mb allow"
        if short.moves:
            allow = f"{short.setting} (auto) allows on this machine if nothing else runs"
        most = f"the {limit >> 20} MiB that {allow}"
    else:
        most = f"this machine has, which is {short.capacity.said}"
    where = "" if short.is_main else f" on {short.device}"
    raise ConfigurationError(
        f"the pinned models need {total >> 20} MiB{where} together (estimated: {each}), more than"
        f" {most}; pin fewer of them, or give them a smaller context",
        field="models",
    )
