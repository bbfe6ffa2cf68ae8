# SPDX-License-Identifier: GPL-3.0-only
"""One response while it comes."""

from __future__ import annotations

from array import array

from modeld_bench.apis.api import Api, Fault, Part
from modeld_bench.apis.payloads import StreamError
from modeld_bench.outcome import Answered, Failed, Outcome, Usage

NOT_UNDERSTOOD = "stream not understood"
CUT = "stream cut"
FAULT = "error in the stream"


class Reception:
    """Takes the bytes of a stream with the moments of their coming, and says what they were.

    It does no input or output, and keeps a number for each piece of text, not the text.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._payloads = api.payloads()
        self._arrivals_s = array("d")
        self._usage = Usage()
        self._ended = False
        self._failure: tuple[str, str] | None = None

    @property
    def failed(self) -> bool:
        """Return whether nothing more of this stream is worth reading."""
        return self._failure is not None

    def feed(self, data: bytes, now_s: float) -> None:
        """Take what has come at ``now_s``."""
        try:
            for payload in self._payloads.feed(data):
                self._take(self._api.read(payload), now_s)
        except StreamError as exc:
            self._failure = NOT_UNDERSTOOD, str(exc)

    def close(self, now_s: float) -> None:
        """Take what has no end yet as whole, because nothing more comes."""
        if self.failed:
            return
        if rest := self._payloads.close():
            try:
                self._take(self._api.read(rest), now_s)
            except StreamError:
                self._failure = CUT, "the stream ended in the middle of a line"
        if not self._ended and not self.failed:
            self._failure = CUT, "the stream ended without its last part"

    def outcome(self, sent_s: float, ended_s: float) -> Outcome:
        """Return what became of the request."""
        if self._failure is not None:
            reason, message = self._failure
            return Failed(sent_s=sent_s, ended_s=ended_s, reason=reason, message=message)
        return Answered(
            sent_s=sent_s, ended_s=ended_s, arrivals_s=self._arrivals_s, usage=self._usage
        )

    def _take(self, part: Part, now_s: float) -> None:
        if part.fault is not None:
            self._failure = _named(part.fault)
            return
        if part.text:
            self._arrivals_s.append(now_s)
        if part.usage is not None:
            self._usage = part.usage
        self._ended |= part.ends


def _named(fault: Fault) -> tuple[str, str]:
    return f"{FAULT}: {fault.reason}" if fault.reason else FAULT, fault.message
