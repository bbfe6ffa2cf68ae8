# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from following import compiled, takes
from modeld_llama_cpp.constraints.compiler import compile_constraint

from modeld.errors import InvalidRequestError

TAKEN = {
    'start: "a" B // <x> @y %json\nB: /[0-9]+/ # %json\n%ignore /[ ]+/': ("a 12", "a"),
    'start: "<b>" | "%json" | /[@<]x>/': ("<b>", "<c>"),
    "start: NUMBER\n%import common.NUMBER": ("12", "x"),
    "start: T\nT: /[a-z]+/ & ~/(?s:.*)b(?s:.*)/": ("aca", "abc"),
    'start: w ";"\nw[lazy]: /[a-z]+;/': ("ab;;", "ab"),
    'start: %regex {"substring_chars": "hello"}': ("ell", "hl"),
    'start: ["x"] "y" -> z': ("y", "x"),
    'start: "ab"i{2,3}': ("aBAb", "ab"),
}

REFUSED = {
    "start: %json {}": "`%json` is not supported, line 1, column 8",
    'start: "a"\n%llguidance {"no_forcing": true}': "`%llguidance` is not supported, line 2",
    'start: %lark {\nstart: "a"\n}': "`%lark` is not supported",
    "start: <|im_end|>": "tokens (`<…>`) are not supported; write their text, line 1, column 8",
    "start: <[5]>": "tokens (`<…>`) are not supported",
    "start: @other": "there is no other grammar for `@other`, line 1, column 8",
    "start: a\na[max_tokens=5]: /x+/": "`max_tokens` is not supported, line 2, column 2",
    "start: a\na[lazy, temperature=0.5]: /x+/": "`temperature` is not supported",
    'start: a\na[stop="x"]: /y+/': "`stop` is not supported",
    'start: "a"{10001}': "more than 10000 repetitions are not allowed, line 1, column 11",
    'start: "a" ~ 99999': "more than 10000 repetitions are not allowed",
    'start: "a" (': "Expected token ')', found '\\n' (at \"\\n\" ('\\n')), line 1, column 13",
    "begin: x": "no start rule found",
    "": "it is empty",
}


@pytest.mark.parametrize("source", TAKEN)
def test_a_grammar_in_lark_is_followed(source: str) -> None:
    fitting, other = TAKEN[source]
    grammar = compiled("lark", source)
    assert takes(grammar, fitting)
    assert not takes(grammar, other)


@pytest.mark.parametrize("source", REFUSED)
def test_what_would_reach_beyond_the_generations_text_is_refused(source: str) -> None:
    with pytest.raises(InvalidRequestError) as failure:
        compile_constraint("lark", source)
    assert REFUSED[source] in str(failure.value)
