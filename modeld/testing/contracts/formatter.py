# SPDX-License-Identifier: GPL-3.0-only
"""What a formatter of chunks keeps to."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import ClassVar, Final

from modeld import Chunk, Done, FinishReason, ModeldError, OutputFormatter, Token, Usage
from modeld.errors import InternalError, WorkerCrashedError
from modeld.messages import ToolCall
from modeld.responses import LikelyToken, ReasoningToken, TokenLogprobs, ToolCallDelta
from modeld.testing.contract import Contract, assert_that, check
from modeld.testing.contracts.naming import check_name

LIKELY: Final = LikelyToken(id=1, piece=b"\xf0\x9f", logprob=-0.5)
PROBABLE: Final = (TokenLogprobs(chosen=LIKELY, top=(LIKELY,)),)
HOSTILE: Final = 'a\n\r\n\u2028\u2029\u0085\x00\x1b</script> "\\ \N{BALLOON}data: event: x\n\n'
USAGE: Final = Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1, reasoning_tokens=1)
PLAIN: Final = Done(finish_reason=FinishReason.STOP, usage=USAGE, content="ab")
ENDS: Final = (
    PLAIN,
    Done(finish_reason=FinishReason.LENGTH, usage=USAGE, content=None, reasoning=None),
    Done(
        finish_reason=FinishReason.TOOL_CALLS,
        usage=USAGE,
        tool_calls=(ToolCall(id="1", name="f", arguments='{"a": 1}'),),
        reasoning="hm",
        logprobs=PROBABLE,
        stop_text="\n",
    ),
)
ENCODES: Final = "test_every_chunk_is_encoded"

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+(; ?[a-z]+=[A-Za-z0-9-]+)*")


class FormatterContract(Contract):
    """What every formatter keeps to. ``formatter`` is the one to look at."""

    subjects: ClassVar[tuple[str, ...]] = ("formatter",)

    formatter: OutputFormatter

    @check()
    def test_it_has_a_name(self) -> None:
        """It is named, with a text that can be a label."""
        check_name("the formatter", self.formatter)

    @check()
    def test_its_media_type_can_be_accepted(self) -> None:
        """A client can name it in ``Accept``."""
        said: object = self.formatter.media_type
        assert_that(
            isinstance(said, str) and _MEDIA_TYPE.fullmatch(said),
            f"media_type is {said!r}; write it like 'text/event-stream', in small letters",
        )
        streams: object = self.formatter.streams
        assert_that(isinstance(streams, bool), f"streams is {streams!r}; it is True or False")

    @check()
    def test_every_chunk_is_encoded(self) -> None:
        """Whatever an engine yields becomes bytes; an end is never empty."""
        for chunk in self._chunks():
            found: object = self.formatter.encode(chunk)
            assert_that(
                isinstance(found, bytes),
                f"encode returned {found!r:.100} for a {type(chunk).__name__}; return bytes",
            )
            must_be_there = isinstance(chunk, Done) or self.formatter.streams
            assert_that(
                found or not must_be_there,
                f"encode returned nothing for a {type(chunk).__name__}, so it would be lost",
            )

    @check(ENCODES)
    def test_different_texts_are_different_bytes(self) -> None:
        """What was generated is in what is sent."""
        one, other = (
            self.formatter.encode(Token(text=each) if self.formatter.streams else _end(each))
            for each in ("one", "other")
        )
        assert_that(one != other, "two texts became the same bytes; write the text of a chunk")

    @check(ENCODES)
    def test_no_text_breaks_the_framing(self) -> None:
        """Line ends in a text do not end a line of the format."""
        make = (lambda text: Token(text=text)) if self.formatter.streams else _end
        plain, hostile = self.formatter.encode(make("a")), self.formatter.encode(make(HOSTILE))
        lines, others = _lines(plain), _lines(hostile)
        assert_that(
            lines == others,
            f"a text with line ends makes {others} lines where a plain one makes {lines}; escape"
            " what ends a line, or clients read two chunks for one",
        )

    @check(ENCODES)
    def test_a_failure_says_what_has_failed(self) -> None:
        """It has the stable code, and does not look like a good end."""
        for error, status in _errors():
            found: object = self.formatter.encode_error(error, status)
            assert_that(
                isinstance(found, bytes) and found,
                f"encode_error returned {found!r:.100}; return the bytes that end the stream",
            )
            assert isinstance(found, bytes)
            assert_that(
                error.code.encode() in found,
                f"encode_error wrote {found!r:.200} without the code {error.code!r}; clients go by"
                " it",
            )

    @check(ENCODES)
    def test_it_keeps_nothing_of_one_stream_for_another(self) -> None:
        """The same chunk is the same bytes at any time: one formatter serves all requests."""
        before = [self.formatter.encode(chunk) for chunk in self._chunks()]
        again = [self.formatter.encode(chunk) for chunk in self._chunks()]
        assert_that(
            before == again,
            "the same chunks became other bytes the second time; a formatter serves all requests at"
            " once and keeps nothing",
        )

    @check(ENCODES)
    def test_it_works_beside_the_event_loop(self) -> None:
        """A long end is encoded on another thread."""
        found: list[object] = []

        def work() -> None:
            try:
                found.append(self.formatter.encode(_end("long " * 100_000)))
            except BaseException as exc:  # noqa: BLE001  (whatever a formatter makes of it)
                found.append(exc)

        thread = threading.Thread(target=work, name="modeld-encode")
        thread.start()
        thread.join()
        assert_that(
            isinstance(found[0], bytes),
            f"on another thread encode gave {found[0]!r:.200}; it must not depend on the event"
            " loop",
        )

    def _chunks(self) -> Iterator[Chunk]:
        for text in ("a", " ", HOSTILE, "日本"):
            yield Token(text=text)
        yield Token(text="a", logprobs=PROBABLE)
        yield ReasoningToken(text="hm")
        yield ToolCallDelta(index=0, id="1", name="f", arguments="")
        yield ToolCallDelta(index=0, arguments='{"a": 1}')
        yield from ENDS


def _end(text: str) -> Done:
    return Done(finish_reason=FinishReason.STOP, usage=USAGE, content=text)


def _errors() -> Iterator[tuple[ModeldError, int]]:
    yield WorkerCrashedError("the worker ended", retry_after_s=1.0), 503
    yield InternalError(HOSTILE, field="prompt"), 500


def _lines(encoded: bytes) -> int:
    """Return the number of lines for a reader that knows all line ends."""
    return len(encoded.decode(errors="replace").splitlines())
