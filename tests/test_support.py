# SPDX-License-Identifier: GPL-3.0-only
"""Whoever looks for a helper finds it in the table of its folder."""

import re
from pathlib import Path

SUPPORT = Path(__file__).parent / "support"
PACKAGES = ("worker_rig/", "plugins/zoo/")


def test_every_module_of_the_support_has_a_line_in_its_table() -> None:
    listed = set(re.findall(r"^\| `([^`]+)` \| \S", (SUPPORT / "README.md").read_text(), re.M))
    names = {str(path.relative_to(SUPPORT)) for path in SUPPORT.rglob("*.py")}
    modules = {name for name in names if not name.startswith(PACKAGES) and "__" not in name}
    assert listed == modules | set(PACKAGES)
