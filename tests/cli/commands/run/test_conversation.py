# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from modeld.cli.commands.run.conversation import Conversation
from modeld.cli.commands.run.session import Session
from modeld.requests import GenerateRequest
from modeld.responses import Done, FinishReason, ReasoningToken, Token, ToolCallDelta, Usage
from tests.support.http.fake_service import FakeService

CHUNKS = (
    ReasoningToken(text="hm"),
    ToolCallDelta(index=0, id="1", name="f", arguments='{"a":'),
    ToolCallDelta(index=0, arguments='"\x1b"}'),
    Token(text="done"),
    Done(finish_reason=FinishReason.STOP, usage=Usage()),
)


def test_what_is_thought_and_called_is_shown_apart_from_the_text(capsys):
    with Session(FakeService(*CHUNKS)) as session:
        Conversation(session, GenerateRequest(), None).complete("hi")
    out, err = capsys.readouterr()
    assert out == "done\n"
    assert err == 'hm\ncalls f: {"a":"\\x1b"}\n\n'
