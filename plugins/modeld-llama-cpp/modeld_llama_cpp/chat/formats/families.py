# SPDX-License-Identifier: GPL-3.0-only
"""The table of the families of chat formats, with the marks by which their templates are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from modeld_llama_cpp.chat.formats.calls.json_calls import JsonCalls
from modeld_llama_cpp.chat.formats.calls.named_calls import (
    AddressedCalls,
    MistralCalls,
    NamedCalls,
    NamedMarks,
)
from modeld_llama_cpp.chat.formats.calls.pythonic_calls import (
    CodeBlockCalls,
    GemmaCalls,
    PythonicCalls,
    PythonTagCalls,
)
from modeld_llama_cpp.chat.formats.calls.tagged_calls import TaggedCalls, Tags
from modeld_llama_cpp.chat.formats.family import NO_THINKING, MarkedFamily
from modeld_llama_cpp.chat.formats.harmony import HarmonyFormat
from modeld_llama_cpp.chat.formats.output import short_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A family, and what is in the template of one: all of these, and none of the others."""

    family: MarkedFamily | HarmonyFormat
    marks: tuple[str, ...]
    without: tuple[str, ...] = ()


_HERMES: Final = JsonCalls("<tool_call>", "</tool_call>")
_BARE: Final = JsonCalls("", bare="{", keys=("name", "parameters"), line="")


def _xml(opener: str, closer: str, line: str) -> TaggedCalls:
    return TaggedCalls(
        opener,
        closer,
        before_name="<function=",
        after_name=">",
        after="</function>",
        tags=Tags(
            before_name="<parameter=", after_name=">", before_value="", after_value="</parameter>"
        ),
        line=line,
    )


_GLM: Final = TaggedCalls(
    "<tool_call>",
    "</tool_call>",
    before_name="",
    after_name="",
    after="",
    tags=Tags(
        before_name="<arg_key>",
        after_name="</arg_key>",
        before_value="<arg_value>",
        after_value="</arg_value>",
    ),
)
_BAR: Final = "\uff5c"  # looks like `|`
_DEEPSEEK_BEGIN: Final = f"<{_BAR}tool▁calls▁begin{_BAR}>"
_DEEPSEEK_END: Final = f"<{_BAR}tool▁calls▁end{_BAR}>"
_DEEPSEEK_CALL: Final = f"<{_BAR}tool▁call▁begin{_BAR}>"
_DEEPSEEK_CALL_END: Final = f"<{_BAR}tool▁call▁end{_BAR}>"
_DEEPSEEK_SEP: Final = f"<{_BAR}tool▁sep{_BAR}>"


def _deepseek(kind: str, after_name: str, fence: str) -> NamedCalls:
    return NamedCalls(
        NamedMarks(
            begin=_DEEPSEEK_BEGIN,
            call=_DEEPSEEK_CALL,
            kind=kind,
            after_name=after_name,
            fence=fence,
            after=_DEEPSEEK_CALL_END,
            end=_DEEPSEEK_END,
        )
    )


_FUNCTION: Final = NamedCalls(NamedMarks(call="<function=", after_name=">", after="</function>"))
_KIMI: Final = NamedCalls(
    NamedMarks(
        begin="<|tool_calls_section_begin|>",
        call="<|tool_call_begin|>",
        kind="functions.",
        after_name="<|tool_call_argument_begin|>",
        after="<|tool_call_end|>",
        end="<|tool_calls_section_end|>",
        numbered=True,
    )
)

_LFM2: Final = MarkedFamily(
    name="lfm2", forms=(PythonicCalls("<|tool_call_start|>", "<|tool_call_end|>"),)
)
_PHI: Final = MarkedFamily(
    name="phi",
    forms=(
        JsonCalls("<|tool_call|>", "<|/tool_call|>", listed=True),
        JsonCalls("functools", listed=True),
    ),
)
_MINIMAX: Final = TaggedCalls(
    "<minimax:tool_call>",
    "</minimax:tool_call>",
    before_name='<invoke name="',
    after_name='">',
    after="</invoke>",
    tags=Tags(
        before_name='<parameter name="',
        after_name='">',
        before_value="",
        after_value="</parameter>",
    ),
)

GENERIC: Final = MarkedFamily(name="generic", forms=(_HERMES,))


PROBES: Final = (
    Probe(family=HarmonyFormat(), marks=("<|channel|>", "<|message|>", "<|start|>")),
    Probe(
        family=MarkedFamily(
            name="gemma4",
            think=("<|channel>thought", "<channel|>"),
            forms=(GemmaCalls(),),
        ),
        marks=("<|tool_call>", "<tool_call|>"),
    ),
    Probe(
        family=MarkedFamily(
            name="command",
            think=("<|START_THINKING|>", "<|END_THINKING|>"),
            forms=(
                JsonCalls(
                    "<|START_ACTION|>",
                    "<|END_ACTION|>",
                    listed=True,
                    keys=("tool_name", "parameters"),
                ),
            ),
            passed_over=(
                "<|START_RESPONSE|>",
                "<|END_RESPONSE|>",
                "<|START_TEXT|>",
                "<|END_TEXT|>",
            ),
        ),
        marks=("<|START_ACTION|>",),
    ),
    Probe(
        family=MarkedFamily(name="kimi", forms=(_KIMI,)), marks=("<|tool_calls_section_begin|>",)
    ),
    Probe(
        family=MarkedFamily(
            name="deepseek", forms=(_deepseek(f"function{_DEEPSEEK_SEP}", "", "```json"),)
        ),
        marks=(_DEEPSEEK_BEGIN, "```json"),
    ),
    Probe(
        family=MarkedFamily(name="deepseek-v3.1", forms=(_deepseek("", _DEEPSEEK_SEP, ""),)),
        marks=(_DEEPSEEK_BEGIN,),
    ),
    Probe(
        family=MarkedFamily(
            name="mistral-named",
            think=("[THINK]", "[/THINK]"),
            forms=(MistralCalls(named=True),),
            new_id=short_id,
        ),
        marks=("[TOOL_CALLS]", "[ARGS]"),
    ),
    Probe(
        family=MarkedFamily(
            name="mistral",
            think=("[THINK]", "[/THINK]"),
            forms=(MistralCalls(named=False),),
            new_id=short_id,
        ),
        marks=("[TOOL_CALLS]",),
    ),
    Probe(family=_LFM2, marks=("<|tool_call_start|>",)),
    Probe(family=_LFM2, marks=("<|tool_list_start|>",)),
    Probe(family=_LFM2, marks=("List of tools: ", "<|im_start|>")),
    Probe(
        family=MarkedFamily(
            name="seed",
            think=("<seed:think>", "</seed:think>"),
            forms=(_xml("<seed:tool_call>", "</seed:tool_call>", ""),),
        ),
        marks=("<seed:tool_call>",),
    ),
    Probe(family=MarkedFamily(name="glm", forms=(_GLM,)), marks=("<tool_call>", "<arg_key>")),
    Probe(
        family=MarkedFamily(name="qwen3-coder", forms=(_xml("<tool_call>", "</tool_call>", "\n"),)),
        marks=("<tool_call>", "<function=", "<parameter="),
    ),
    Probe(
        family=MarkedFamily(
            name="functionary-v3.1", think=NO_THINKING, forms=(_FUNCTION, PythonTagCalls(_BARE))
        ),
        marks=("<function", "<|python_tag|>"),
    ),
    Probe(
        family=MarkedFamily(name="functionary-v3.2", think=NO_THINKING, forms=(AddressedCalls(),)),
        marks=(">>>all",),
    ),
    Probe(family=_PHI, marks=("<|/tool_call|>",)),
    Probe(family=_PHI, marks=("<|/tool|>",)),
    Probe(
        family=MarkedFamily(
            name="granite", forms=(JsonCalls("<|tool_call|>", listed=True), _HERMES)
        ),
        marks=("<|tool_call|>",),
    ),
    Probe(
        family=MarkedFamily(
            name="firefunction", think=NO_THINKING, forms=(JsonCalls("functools", listed=True),)
        ),
        marks=("functools",),
    ),
    Probe(
        family=MarkedFamily(
            name="nemotron", forms=(JsonCalls("<TOOLCALL>", "</TOOLCALL>", listed=True),)
        ),
        marks=("<TOOLCALL>",),
    ),
    Probe(
        family=MarkedFamily(
            name="apriel",
            think=("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]"),
            forms=(JsonCalls("<tool_calls>", "</tool_calls>", listed=True),),
        ),
        marks=("<tool_calls>[",),
    ),
    Probe(
        family=MarkedFamily(name="hermes", forms=(_HERMES,)),
        marks=("<tool_call>",),
        without=("<invoke ",),
    ),
    Probe(
        family=MarkedFamily(name="minimax-m2", forms=(_MINIMAX,)), marks=("<minimax:tool_call>",)
    ),
    Probe(
        family=MarkedFamily(name="minimax-m1", forms=(JsonCalls("<tool_calls>", "</tool_calls>"),)),
        marks=("<tool_calls>",),
    ),
    Probe(
        family=MarkedFamily(name="llama3", think=NO_THINKING, forms=(_BARE, PythonTagCalls(_BARE))),
        marks=("<|start_header_id|>ipython", '"parameters":'),
    ),
    Probe(
        family=MarkedFamily(name="llama4", think=NO_THINKING, forms=(_BARE,)),
        marks=("<|header_start|>", '"parameters":'),
    ),
    Probe(
        family=MarkedFamily(
            name="gemma",
            think=NO_THINKING,
            forms=(_BARE, JsonCalls("```json", "```"), CodeBlockCalls(_BARE)),
        ),
        marks=("<start_of_turn>",),
    ),
)
"""All families but the generic one; the first counts whose marks are all in a template."""
