# SPDX-License-Identifier: GPL-3.0-only
"""Takes apart texts that have marks in them: those of all families but gpt-oss."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from modeld_llama_cpp.chat.formats.calls.call_form import CallForm
from modeld_llama_cpp.chat.formats.chat_format import Delta, OutputParser
from modeld_llama_cpp.chat.formats.output import Output
from modeld_llama_cpp.chat.formats.reader import (
    SPACES,
    BrokenCallError,
    Reader,
    Reading,
    begun,
)


class GeneratedParser(OutputParser):
    """A parser whose work is a generator that yields where it needs more text."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._work = self._run()
        self.thinking = False
        self.tool_calls = 0

    def feed(self, text: str) -> list[Delta]:
        """Return what is certain after the next piece of the text."""
        if text and not self._output.reader.ended:
            self._output.reader.push(text)
            self._go_on()
        return self._output.flush()

    def finish(self, *, cut: bool = False) -> list[Delta]:
        """Return what was held back."""
        if not self._output.reader.ended:
            self._output.reader.ended = True
            self._output.is_cut = cut
            self._go_on()
            if not self.thinking:
                self._output.begin_forced()
                self.tool_calls = self._output.calls
        return self._output.flush()

    def _go_on(self) -> None:
        next(self._work, None)
        self.tool_calls = self._output.calls

    def _run(self) -> Reading[None]:
        raise NotImplementedError


class MarkedParser(GeneratedParser):
    """Reasoning between two marks, calls behind others, and text all around.

    Reasoning begins at the beginning of the text or behind a call, nowhere else: who talks of
    marks may write them. White space around marks belongs to them.
    """

    def __init__(
        self,
        output: Output,
        forms: Sequence[CallForm],
        *,
        think: tuple[str, str],
        prompt_end: str,
        passed_over: Sequence[str] = (),
    ) -> None:
        super().__init__(output)
        self._forms = forms
        self._think_begin, self._think_end = think
        self._passed_over = passed_over
        openers = [mark for form in forms for mark in form.openers] if output.tools else []
        self._openers = [*openers, *passed_over]
        self._fresh = self._after_mark = True
        said = prompt_end.rstrip()
        self.thinking = bool(self._think_begin) and said.endswith(self._think_begin)
        self._opened = next((mark for mark in openers if said.endswith(mark)), "")
        # What comes first is behind a mark only if the template has written one.
        self._after_mark = self.thinking or bool(self._opened)

    def _run(self) -> Reading[None]:
        if self._opened:
            yield from self._read_calls(self._opened)
        while True:
            if self.thinking:
                yield from self._read_reasoning()
            mark = yield from self._read_text()
            if not mark:
                return
            if mark == self._think_begin:
                self._output.reader.take()
                self.thinking = True
            elif mark in self._passed_over:
                self._output.reader.take()
                self._after_mark = True
            else:
                yield from self._read_calls(mark)

    def _read_reasoning(self) -> Reading[None]:
        reader = self._output.reader
        yield from reader.skip_spaces()
        reader.take()
        if (yield from pass_on(reader, [self._think_end], self._output.think)):
            reader.take()
            self.thinking = False
            self._fresh = self._after_mark = True

    def _read_text(self) -> Reading[str]:
        """Give out text up to a mark, and return the mark; nothing at the end."""
        reader = self._output.reader
        if self._after_mark:
            yield from reader.skip_spaces()
            reader.take()
        if self._fresh:
            yield from reader.skip_spaces()
            if self._think_begin and (yield from reader.skip(self._think_begin)):
                return self._think_begin
            if sign := (yield from self._bare()):
                reader.advance(1)
                return sign
            reader.rewind()
        self._after_mark = False
        return (yield from pass_on(reader, self._openers, self._say))

    def _bare(self) -> Reading[str]:
        signs = [form.bare for form in self._forms if form.bare and self._output.tools]
        if not signs:
            return ""
        sign = yield from self._output.reader.peek()
        return sign if sign in signs else ""

    def _say(self, text: str) -> None:
        self._fresh = self._fresh and not text.strip(SPACES)
        self._output.say(text)

    def _read_calls(self, mark: str) -> Reading[None]:
        form = next(each for each in self._forms if mark in (*each.openers, each.bare))
        calls = self._output.calls
        self._output.expect_calls()
        try:
            yield from form.read(self._output, mark)
            held = ""
        except BrokenCallError:
            held = "" if self._output.take_cut() else self._output.reader.take()
        self._output.reader.take()
        if held.strip(SPACES) or calls == self._output.calls:
            self._say(held)
        else:
            self._fresh = self._after_mark = True


def pass_on(reader: Reader, marks: Sequence[str], give: Callable[[str], None]) -> Reading[str]:
    """Give out all that is no mark, and return the mark that comes; nothing at the end.

    The white space before a mark is held back with it.
    """
    pattern = re.compile("|".join(map(re.escape, marks)) or "(?!)")
    while True:
        found = pattern.search(reader.rest)
        if found:
            plain = len(reader.rest[: found.start()].rstrip(SPACES))
            reader.advance(plain)
            give(reader.take())
            reader.advance(found.end() - plain)
            return found[0]
        if reader.ended:
            reader.advance(len(reader.rest))
            give(reader.take())
            return ""
        reader.advance(_plain(reader.rest, marks))
        give(reader.take())
        yield from reader.more()


def _plain(text: str, marks: Sequence[str]) -> int:
    """Return how much of a text can be neither of a mark nor white space before one."""
    held = max((begun(text, mark) for mark in marks), default=0)
    return len(text[: len(text) - held].rstrip(SPACES))
