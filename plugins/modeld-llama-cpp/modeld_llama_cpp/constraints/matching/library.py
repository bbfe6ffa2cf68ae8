# SPDX-License-Identifier: GPL-3.0-only
"""llguidance's C interface, as its header ``llguidance.h`` has it.

Its Python interface holds the interpreter's lock while it lays out a vocabulary, which takes up to
a second and would stop all generations for as long. The same library has a C interface, which
:mod:`ctypes` calls without that lock.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.util import find_spec
from typing import TypeAlias

import llguidance

Address: TypeAlias = int
"""Where an object of the library is in memory."""

Tokenize = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_uint32),
    ctypes.c_size_t,
)
"""Tokenises some bytes: user data, bytes, their count, where the tokens go, how many fit."""


class TokenizerInit(ctypes.Structure):
    """``LlgTokenizerInitV2``; the library reads no more than its own ``struct_size`` says."""

    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("vocab_size", ctypes.c_uint32),
        ("tok_eos", ctypes.c_uint32),
        ("token_lens", ctypes.c_void_p),
        ("token_bytes", ctypes.c_void_p),
        ("tokenizer_json", ctypes.c_char_p),
        ("tokenize_assumes_string", ctypes.c_bool),
        ("tokenize_fn", ctypes.c_void_p),
        ("use_approximate_greedy_tokenize_fn", ctypes.c_bool),
        ("tokenize_user_data", ctypes.c_void_p),
        ("slices", ctypes.c_void_p),
        ("tok_eos_extra", ctypes.c_void_p),
        ("tok_eos_extra_count", ctypes.c_uint32),
    ]


class ConstraintInit(ctypes.Structure):
    """``LlgConstraintInit``, with ``LlgParserLimits`` from ``max_items_in_row`` on.

    ``reserved`` is for members that a later version may append: the library fills all that it
    knows of.
    """

    _fields_ = [
        ("tokenizer", ctypes.c_void_p),
        ("log_buffer_level", ctypes.c_uint32),
        ("log_stderr_level", ctypes.c_uint32),
        ("ff_tokens_ok", ctypes.c_bool),
        ("backtrack_ok", ctypes.c_bool),
        ("max_items_in_row", ctypes.c_size_t),
        ("initial_lexer_fuel", ctypes.c_uint64),
        ("step_lexer_fuel", ctypes.c_uint64),
        ("step_max_items", ctypes.c_size_t),
        ("max_lexer_states", ctypes.c_size_t),
        ("max_grammar_size", ctypes.c_size_t),
        ("precompute_large_lexemes", ctypes.c_bool),
        ("verbose_errors", ctypes.c_bool),
        # without it, the library would write behind the end of a structure that has grown
        ("reserved", ctypes.c_uint8 * 512),
    ]


LIMITS = tuple(
    name for name, *_ in ConstraintInit._fields_ if hasattr(llguidance.LLParserLimits, name)
)
"""The members that are limits."""

_POINTER, _SIZE, _TEXT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p

_FUNCTIONS: dict[str, tuple[type | None, list[type]]] = {
    "llg_new_tokenizer_v2": (_POINTER, [_POINTER, _TEXT, _SIZE]),
    "llg_free_tokenizer": (None, [_POINTER]),
    "llg_constraint_init_set_defaults": (None, [_POINTER, _POINTER]),
    "llg_new_matcher": (_POINTER, [_POINTER, _TEXT, _TEXT]),
    "llg_clone_matcher": (_POINTER, [_POINTER]),
    "llg_free_matcher": (None, [_POINTER]),
    "llg_matcher_get_error": (_TEXT, [_POINTER]),
    "llg_matcher_compute_mask_into": (ctypes.c_int32, [_POINTER, _POINTER, _SIZE]),
    "llg_matcher_consume_tokens": (ctypes.c_int32, [_POINTER, _POINTER, _SIZE]),
    "llg_matcher_validate_tokens": (ctypes.c_int32, [_POINTER, _POINTER, _SIZE]),
    "llg_matcher_compute_ff_tokens": (ctypes.c_int32, [_POINTER, _POINTER, _SIZE]),
    "llg_matcher_is_accepting": (ctypes.c_bool, [_POINTER]),
    "llg_matcher_is_stopped": (ctypes.c_bool, [_POINTER]),
}


@cache
def load() -> ctypes.CDLL:
    """Return the library, which the Python package has in it.

    Raises:
        ImportError: it is not the one that these declarations are for.
    """
    # The very file that Python has loaded: another might be of another version.
    found = find_spec("llguidance._lib")
    assert found is not None  # `llguidance` has imported it
    library = ctypes.CDLL(found.origin)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name, None)
        if function is None:
            raise ImportError(f"llguidance {llguidance.__version__} has no {name} in its library")
        # Left undeclared, ctypes would cut addresses down to the 32 bits of an int.
        function.restype, function.argtypes = result, arguments
    _check_layout(library)
    return library


def _check_layout(library: ctypes.CDLL) -> None:
    """Compare what the library writes with what its Python interface says of the same members."""
    init = ConstraintInit()
    library.llg_constraint_init_set_defaults(ctypes.byref(init), None)
    limits = llguidance.LLParserLimits()
    for name in LIMITS:
        if getattr(limits, name) != getattr(init, name):
            raise ImportError(f"llguidance {llguidance.__version__} has {name} somewhere else")
