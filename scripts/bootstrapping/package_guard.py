# SPDX-License-Identifier: GPL-3.0-only
"""Refuses the checkout's packages where the installed ones are tested; ``wheels.py`` installs it.

Every Python of that environment begins with this, so it imports nothing that is not there anyway.
"""

import sys


class OnlyInstalled:
    """Looks for packages before all others do, for those of this repository only."""

    def __init__(self, checkout: str, packages: list[str]) -> None:
        self._checkout = f"{checkout}/"
        self._packages = frozenset(packages)
        self._others = tuple(sys.meta_path)

    def find_spec(self, name, path=None, target=None):  # type: ignore[no-untyped-def]  # importlib
        """Return where a package is; ``None`` for what is not ours.

        Raises:
            ImportError: it is the checkout's.
        """
        if name not in self._packages:
            return None
        found = (finder.find_spec(name, path, target) for finder in self._others)
        spec = next((each for each in found if each is not None), None)
        where = (spec and spec.origin) or ""
        # Environments, and what tests install, lie inside the checkout as well.
        if where.startswith(self._checkout) and "/site-packages/" not in where:
            raise ImportError(
                f"{name} is the checkout's, {where}: this environment tests the wheels"
            )
        return spec
