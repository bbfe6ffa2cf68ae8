# SPDX-License-Identifier: GPL-3.0-only
"""The page on interfaces has all that the reader of GGUF files tells, and the errors it raises."""

from __future__ import annotations

from modeld import gguf
from tests.support.docs.pages import rows, section


def test_every_member_of_a_header_and_every_error_is_listed() -> None:
    found = [row[0] for row in rows(section("reference/interfaces.md", "Reading GGUF files"))]
    at = found.index("error")
    assert found[:at] == [
        "member of `GgufHeader`",
        *(f"`{name}`" for name in gguf.GgufHeader.__struct_fields__),
    ]
    errors = [name for name in gguf.__all__ if name.endswith("Error")]
    assert found[at + 1 :] == [f"`{name}`" for name in errors]
