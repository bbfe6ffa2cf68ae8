# SPDX-License-Identifier: GPL-3.0-only
"""Texts as models of each family write them, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass

_BAR = "\uff5c"  # looks like `|`


@dataclass(frozen=True, kw_only=True)
class Output:
    family: str
    text: str
    thought: str = ""
    said: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    prompt_end: str = ""


def _wide(text: str) -> str:
    return text.replace("|", _BAR)


CITY = '{"city": "Zürich 🏔"}'
DAYS = '{"city": "Bern", "days": 3}'
BOTH = (("get_weather", CITY), ("python", '{"code": "print(\\"<tool_call>\\")\\n"}'))

OUTPUTS = (
    Output(
        family="hermes",
        text="<think>\nhm <tool\n</think>\n\nLet me see.\n"
        f'<tool_call>\n{{"name": "get_weather", "arguments": {CITY}}}\n</tool_call>\n<tool_call>\n'
        f'{{"name": "python", "arguments": {BOTH[1][1]}}}\n</tool_call>\nDone <tool_c',
        thought="hm <tool",
        said="Let me see.Done <tool_c",
        calls=BOTH,
    ),
    Output(
        family="hermes",
        text=f'on it\n</think>\n<tool_call>{{"arguments": {DAYS}, "name": "get_weather"}}',
        thought="on it",
        calls=(("get_weather", DAYS),),
        prompt_end="<|im_start|>assistant\n<think>\n",
    ),
    Output(
        family="hermes",
        text='<tool_call>{"name": "now"}</tool_call>'
        '<tool_call>{"name": "python", "arguments": "{\\"code\\": \\"1\\"}"}</tool_call>'
        '<tool_call>{"name": "now", "arguments": null}</tool_call>',
        calls=(("now", "{}"), ("python", '{"code": "1"}'), ("now", "{}")),
    ),
    Output(
        family="generic",
        text=f'Yes.<tool_call>{{"name": "get_weather", "arguments": {DAYS}}}</tool_call>',
        said="Yes.",
        calls=(("get_weather", DAYS),),
    ),
    Output(
        family="qwen3-coder",
        text="I look.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nZürich 🏔\n"
        "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=python>\n"
        '<parameter=code>\nprint("<tool_call>")\n\n</parameter>\n</function>\n</tool_call>',
        said="I look.",
        calls=BOTH,
    ),
    Output(
        family="qwen3-coder",
        text="<function=get_weather>\n<parameter=city>\n12\n</parameter>\n<parameter=days>\n3\n"
        '</parameter>\n</function>\n<tool_call>{"name": "now", "arguments": {}}</tool_call>',
        calls=(("get_weather", '{"city": "12", "days": 3}'), ("now", "{}")),
    ),
    Output(
        family="seed",
        text="<seed:think>so</seed:think>\n<seed:tool_call>\n<function=get_weather>\n"
        "<parameter=city>Bern</parameter>\n<parameter=days>3</parameter>\n</function>\n"
        "</seed:tool_call>",
        thought="so",
        calls=(("get_weather", DAYS),),
    ),
    Output(
        family="glm",
        text="\n<think>so</think>\nNow.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n"
        "<arg_value>Bern</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n"
        "</tool_call>\n<tool_call>now</tool_call>",
        thought="so",
        said="Now.",
        calls=(("get_weather", DAYS), ("now", "{}")),
    ),
    Output(
        family="glm",
        text='<tool_call>get_weather\n<arg_key>x</arg_key>\n<arg_value>["</arg_value>"]</arg_value>'
        "\n<arg_key>y</arg_key>\n<arg_value>[oops</arg_value>\n<arg_key>days</arg_key>\n"
        '<arg_value>None</arg_value>\n<arg_key>z</arg_key>\n<arg_value>"a" b</arg_value>\n'
        "</tool_call>",
        calls=(
            (
                "get_weather",
                '{"x": ["</arg_value>"], "y": "[oops", "days": null, "z": "\\"a\\" b"}',
            ),
        ),
    ),
    Output(
        family="minimax-m2",
        text='<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Bern'
        '</parameter>\n<parameter name="days">3</parameter>\n</invoke>\n<invoke name="now">\n'
        "</invoke>\n</minimax:tool_call>",
        calls=(("get_weather", DAYS), ("now", "{}")),
    ),
    Output(
        family="llama3",
        text=f'{{"name": "get_weather", "parameters": {CITY}}}; '
        f'{{"type": "function", "name": "now", "parameters": {{}}}}',
        calls=(("get_weather", CITY), ("now", "{}")),
    ),
    Output(
        family="llama3",
        text=f'<|python_tag|>{{"name": "get_weather", "parameters": {DAYS}}}',
        calls=(("get_weather", DAYS),),
    ),
    Output(
        family="llama3",
        text='<|python_tag|>get_weather.call(city="Bern", days=3)',
        calls=(("get_weather", DAYS),),
    ),
    Output(
        family="llama3",
        text="<|python_tag|>import os\nprint(1)",
        calls=(("python", '{"code": "import os\\nprint(1)"}'),),
    ),
    Output(
        family="llama4",
        text=f'{{"name": "get_weather", "parameters": {CITY}}}',
        calls=(("get_weather", CITY),),
    ),
    Output(family="llama3", text='{"answer": {"a": 1}}', said='{"answer": {"a": 1}}'),
    Output(
        family="mistral",
        text='[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Bern", "days": 3}, '
        '"id": "abcdefghi"}, {"name": "now", "arguments": {}}]',
        calls=(("get_weather", DAYS), ("now", "{}")),
    ),
    Output(
        family="mistral-named",
        text=f"[THINK]so[/THINK]Well.[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]{CITY}"
        f"[TOOL_CALLS]python[ARGS]{BOTH[1][1]}",
        thought="so",
        said="Well.",
        calls=BOTH,
    ),
    Output(
        family="gemma",
        text='Wait.\n```tool_code\nprint(get_weather(city="Bern", days=3))\nnow()\n```',
        said="Wait.",
        calls=(("get_weather", DAYS), ("now", "{}")),
    ),
    Output(
        family="gemma",
        text=f'```json\n{{"name": "get_weather", "parameters": {CITY}}}\n```',
        calls=(("get_weather", CITY),),
    ),
    Output(
        family="gemma",
        text='```json\n{"name": "nobody"}\n```\n```tool_code\nx = 1\n```',
        said='```json\n{"name": "nobody"}\n```\n```tool_code\nx = 1\n```',
    ),
    Output(
        family="gemma4",
        text='<|channel>thought\nso\n<channel|><|tool_call>call:get_weather{city:<|"|>Bern<|"|>,'
        "days:3}<tool_call|><|tool_call>call:now{}<tool_call|>",
        thought="so",
        calls=(("get_weather", DAYS), ("now", "{}")),
    ),
    Output(
        family="deepseek",
        text=_wide(
            "so\n</think>\n\nWell.<|tool▁calls▁begin|><|tool▁call▁begin|>function<|tool▁sep|>"
            f"get_weather\n```json\n{DAYS}\n```<|tool▁call▁end|>\n<|tool▁call▁begin|>function"
            "<|tool▁sep|>now\n```json\n{}\n```<|tool▁call▁end|><|tool▁calls▁end|>"
        ),
        thought="so",
        said="Well.",
        calls=(("get_weather", DAYS), ("now", "{}")),
        prompt_end=_wide("<|Assistant|><think>\n"),
    ),
    Output(
        family="deepseek-v3.1",
        text=_wide(
            "Well.<|tool▁calls▁begin|><|tool▁call▁begin|>get_weather<|tool▁sep|>"
            f"{CITY}<|tool▁call▁end|><|tool▁call▁begin|>now<|tool▁sep|>{{}}<|tool▁call▁end|>"
            "<|tool▁calls▁end|>"
        ),
        said="Well.",
        calls=(("get_weather", CITY), ("now", "{}")),
        prompt_end=_wide("<|Assistant|><think></think>"),
    ),
    Output(
        family="kimi",
        text="<think>so</think>Well.<|tool_calls_section_begin|><|tool_call_begin|>"
        f"functions.get_weather:0<|tool_call_argument_begin|>{CITY}<|tool_call_end|>"
        "<|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
        "<|tool_calls_section_end|>",
        thought="so",
        said="Well.",
        calls=(("get_weather", CITY), ("now", "{}")),
    ),
    Output(
        family="command",
        text="<|START_THINKING|>so<|END_THINKING|><|START_ACTION|>[\n"
        f'    {{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {CITY}}},\n'
        '    {"tool_call_id": "1", "tool_name": "now", "parameters": {}}\n]<|END_ACTION|>',
        thought="so",
        calls=(("get_weather", CITY), ("now", "{}")),
    ),
    Output(
        family="command",
        text="<|START_RESPONSE|>Sunny <co>all day</co>.<|END_RESPONSE|>",
        said="Sunny <co>all day</co>.",
    ),
    Output(
        family="functionary-v3.1",
        text=f"Well. <function=get_weather>{DAYS}</function>\n<|python_tag|>print(1)",
        said="Well.",
        calls=(("get_weather", DAYS), ("python", '{"code": "print(1)"}')),
    ),
    Output(
        family="functionary-v3.2",
        text=f"all\nWell >>> so.\n>>>get_weather\n{DAYS}\n>>>now\n{{}}",
        said="Well >>> so.",
        calls=(("get_weather", DAYS), ("now", "{}")),
        prompt_end="<|start_header_id|>assistant<|end_header_id|>\n\n>>>",
    ),
    Output(
        family="granite",
        text='<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Bern", "days": 3}},'
        ' {"name": "now", "arguments": {}}]',
        calls=(("get_weather", DAYS), ("now", "{}")),
    ),
    Output(
        family="granite",
        text='<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
        calls=(("now", "{}"),),
    ),
    Output(
        family="phi",
        text=f'<|tool_call|>[{{"name": "get_weather", "arguments": {CITY}}}]<|/tool_call|>',
        calls=(("get_weather", CITY),),
    ),
    Output(
        family="phi",
        text=f'functools[{{"name": "get_weather", "arguments": {CITY}}}]',
        calls=(("get_weather", CITY),),
    ),
    Output(
        family="firefunction",
        text='functools[{"name": "get_weather", "arguments": {"city": "Bern", "days": 3}}]',
        calls=(("get_weather", DAYS),),
    ),
    Output(
        family="nemotron",
        text=f'so</think>\n\n<TOOLCALL>[{{"name": "get_weather", "arguments": {CITY}}}]</TOOLCALL>',
        thought="so",
        calls=(("get_weather", CITY),),
        prompt_end="<SPECIAL_11>Assistant\n<think>\n",
    ),
    Output(
        family="apriel",
        text="so\n[BEGIN FINAL RESPONSE]\nWell.\n"
        f'<tool_calls>[{{"name": "get_weather", "arguments": {CITY}}}]</tool_calls>',
        thought="so",
        said="Well.",
        prompt_end="<|assistant|>\nHere are my reasoning steps:\n",
        calls=(("get_weather", CITY),),
    ),
    Output(
        family="minimax-m1",
        text='<tool_calls>\n{"name": "now", "arguments": {}}\n'
        f'{{"name": "get_weather", "arguments": {CITY}}}\n</tool_calls>',
        calls=(("now", "{}"), ("get_weather", CITY)),
    ),
    Output(
        family="lfm2",
        text="<think>so</think><|tool_call_start|>[get_weather(city='Zürich 🏔'), "
        'python(code="print(\\"<tool_call>\\")\\n")]<|tool_call_end|>Checking.',
        thought="so",
        said="Checking.",
        calls=BOTH,
    ),
    Output(
        family="lfm2",
        text='<|tool_call_start|>[{"name": "now", "arguments": {}}, now()]<|tool_call_end|>',
        calls=(("now", "{}"), ("now", "{}")),
    ),
    Output(
        family="gpt-oss",
        text="<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>commentary"
        "<|message|>Well.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
        f"<|constrain|>json<|message|>{CITY}<|call|>",
        thought="so",
        said="Well.",
        calls=(("get_weather", CITY),),
    ),
    Output(
        family="gpt-oss",
        text=f" to=functions.get_weather<|channel|>commentary json<|message|>{DAYS}<|call|>",
        calls=(("get_weather", DAYS),),
        prompt_end="<|start|>assistant",
    ),
    Output(
        family="gpt-oss",
        text="so<|end|><|start|>assistant<|channel|>final<|message|>Sun < 3 <|x\n<|return|>",
        thought="so",
        said="Sun < 3 <|x",
        prompt_end="<|start|>assistant<|channel|>analysis<|message|>",
    ),
    Output(
        family="gpt-oss",
        text="<|channel|>commentary to=browser.search<|message|>{}<|call|>",
        said="{}",
    ),
)

BROKEN = (
    Output(
        family="hermes",
        text='A <tool_call>{"name": "nobody", "arguments": {}}</tool_call> B',
        said='A <tool_call>{"name": "nobody", "arguments": {}}</tool_call> B',
    ),
    Output(
        family="hermes",
        text='<tool_call>\n{"name": "now", "arguments": {oops}}\n</tool_call>',
        said='<tool_call>\n{"name": "now", "arguments": {oops}}\n</tool_call>',
    ),
    Output(
        family="hermes",
        text='<tool_call>{"name": "now", "arguments": [1]}</tool_call>',
        said='<tool_call>{"name": "now", "arguments": [1]}</tool_call>',
    ),
    Output(
        family="hermes",
        text='<tool_call>{"name": "now", "arguments": "{1}"}</tool_call>',
        said='<tool_call>{"name": "now", "arguments": "{1}"}</tool_call>',
    ),
    Output(
        family="hermes",
        text='<tool_call>{<tool_call>{"name": "now", "arguments": {}}</tool_call>',
        said="<tool_call>{",
        calls=(("now", "{}"),),
    ),
    Output(
        family="hermes",
        text='<tool_call>{"name": "python", "arguments": {"code": "a", b: 1}}</tool_call>',
        said=", b: 1}}</tool_call>",
        calls=(("python", '{"code": "a"'),),
    ),
    Output(
        family="hermes",
        text='<tool_call>{"name": "python", "arguments": {"code": "a\\',
        said="\\",
        calls=(("python", '{"code": "a'),),
    ),
    Output(
        family="hermes",
        text='<tool_call>{"name": "python", "arguments": {"code": "\\ud800"}}',
        said='<tool_call>{"name": "python", "arguments": {"code": "\\ud800"}}',
    ),
    Output(
        family="glm",
        text="<tool_call>now\n<arg_key>a</arg_key>\n<arg_valu",
        said="<tool_call>now\n<arg_key>a</arg_key>\n<arg_valu",
    ),
    Output(
        family="qwen3-coder",
        text="<tool_call>\n<function=nobody>\n</function>\n</tool_call>",
        said="<tool_call>\n<function=nobody>\n</function>\n</tool_call>",
    ),
    Output(
        family="lfm2",
        text="<|tool_call_start|>[now(a=b)]<|tool_call_end|>",
        said="<|tool_call_start|>[now(a=b)]<|tool_call_end|>",
    ),
    Output(
        family="mistral",
        text='[TOOL_CALLS][{"name": "now", "arguments": {}}, oops]',
        said=", oops]",
        calls=(("now", "{}"),),
    ),
    Output(
        family="gpt-oss",
        text="<|channel|>commentary to=functions.now<|message|>{oops}<|call|>",
        said="{oops}",
    ),
    Output(family="gpt-oss", text="<|channel|>{a}<|end|>", said="<|channel|>{a}"),
    Output(
        family="command",
        text="<|START_ACTION|>[]<|END_ACTION|>",
        said="<|START_ACTION|>[]<|END_ACTION|>",
    ),
)
