# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import ctypes

import pytest
from modeld_llama_cpp.constraints.matching import library


def test_the_library_is_laid_out_as_it_is_declared() -> None:
    assert set(library.LIMITS) >= {"max_items_in_row", "max_lexer_states", "verbose_errors"}
    init = library.ConstraintInit()
    library.load().llg_constraint_init_set_defaults(ctypes.byref(init), 1234)
    assert (init.tokenizer, init.log_stderr_level) == (1234, 1)
    assert not any(init.reserved), "it has no members that are not declared"


def test_a_library_that_is_laid_out_otherwise_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(library.ConstraintInit):
        """Its limits are somewhere else."""

        @property
        def step_max_items(self) -> int:
            return 1

    monkeypatch.setattr(library, "ConstraintInit", Other)
    with pytest.raises(ImportError, match="has step_max_items somewhere else"):
        library.load.__wrapped__()


def test_a_library_without_a_function_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(library._FUNCTIONS, "llg_nothing", (None, []))
    with pytest.raises(ImportError, match="has no llg_nothing"):
        library.load.__wrapped__()
