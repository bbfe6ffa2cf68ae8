# SPDX-License-Identifier: GPL-3.0-only
"""What the grammar process runs: it reads grammars and schemas, and writes sound GBNF.

A faulty grammar would crash llama.cpp in the worker, and others would keep it busy without end.
So what a request brings is read here, checked and written anew, and llama.cpp is asked whether it
takes that, all of it in a limited process.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Callable

from modeld_llama_cpp.ambiguity import check_ambiguity
from modeld_llama_cpp.confinement import Answer, Message, serve
from modeld_llama_cpp.factoring import factor
from modeld_llama_cpp.gbnf import read_gbnf
from modeld_llama_cpp.machine import Machine
from modeld_llama_cpp.rules import ROOT, GrammarError, Rules
from modeld_llama_cpp.schema import read_schema
from modeld_llama_cpp.soundness import check_soundness
from modeld_llama_cpp.writing import write_gbnf


def main(parent_pid: int, limit_s: int) -> None:
    """Take the place of llama.cpp's library, then grammars, until the other end is closed."""
    serve(_prepare, parent_pid, limit_s)


def checked(rules: Rules) -> str:
    """The rules as GBNF that llama.cpp can work with.

    Raises:
        GrammarError: they are not sound, or would keep llama.cpp busy.
    """
    check_soundness(rules)
    rules.keep_reachable()
    factor(rules)
    check_ambiguity(Machine(rules))
    return write_gbnf(rules)


def _prepare(setup: Message) -> Answer:
    parse = _parser(setup["library"])

    def answer(question: Message) -> Message:
        try:
            if "json_schema" in question:
                written = checked(read_schema(json.loads(question["json_schema"])))
            else:
                written = checked(read_gbnf(question["grammar"]))
        except GrammarError as exc:
            return {"problem": str(exc)}
        if not parse(written):
            return {"problem": "llama.cpp does not take it"}
        return {"grammar": written}

    return answer


def _parser(library: str) -> Callable[[str], bool]:
    """llama.cpp's own parser, which says why it does not take a grammar on standard error only."""
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    os.close(silent)
    native = ctypes.CDLL(library)
    native.llama_sampler_init_grammar.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p]
    native.llama_sampler_init_grammar.restype = ctypes.c_void_p
    native.llama_sampler_free.argtypes = [ctypes.c_void_p]
    native.llama_sampler_free.restype = None

    def parse(grammar: str) -> bool:
        sampler = native.llama_sampler_init_grammar(None, grammar.encode(), ROOT.encode())
        if sampler:
            native.llama_sampler_free(sampler)
        return bool(sampler)

    return parse
