# SPDX-License-Identifier: GPL-3.0-only
"""How log lines are written: for people, or as one JSON object a line.

Whatever a request, a file name or a model brings into a log line, one event stays one line (in
the console form a traceback follows, each of its lines marked).
"""

from __future__ import annotations

import codecs
import logging
import time
from datetime import UTC, datetime
from typing import Final, TextIO

import msgspec

from modeld.settings import Settings
from modeld.terminal import visible

codecs.lookup("utf-16-be")  # now, while its file can be opened

OFF: Final = logging.CRITICAL + 1

_OURS: Final = {
    "off": OFF,
    "error": logging.ERROR,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
_OTHERS: Final = {
    "off": OFF,
    "error": logging.ERROR,
    "info": logging.WARNING,
    "debug": logging.INFO,
}
_STANDARD_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class ConsoleFormatter(logging.Formatter):
    """``2026-11-22 14:03:07.120 info modeld.access: GET /models 200 1.2 ms id=…``, local time."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and a marked line for each line of a traceback."""
        second = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        line = (
            f"{second}.{int(record.msecs):03} {record.levelname.lower()}"
            f" {record.name}: {visible(record.getMessage())}"
        )
        trace = _trace(self, record)
        return "\n".join([line, *(f"  | {visible(each)}" for each in trace.splitlines())])


class JsonFormatter(logging.Formatter):
    """One JSON object: time (UTC), level, logger, message, the event's own fields, traceback.

    Characters that are not printable stand there as JSON escapes, so that no reader of lines
    takes one for the end of a line.
    """

    _encoder = msgspec.json.Encoder(enc_hook=str)

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, which is one line."""
        fields = {
            name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS
        }
        moment = datetime.fromtimestamp(record.created, UTC)
        fields |= {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if trace := _trace(self, record):
            fields["traceback"] = trace
        return "".join(
            character if character.isprintable() else _json_escaped(character)
            for character in self._encode(fields)
        )

    def _encode(self, fields: dict[str, object]) -> str:
        try:
            return self._encoder.encode(fields).decode()
        except UnicodeEncodeError:  # a lone surrogate, from a file name that is not UTF-8
            shown = {name: visible(str(value)) for name, value in fields.items()}
            return self._encoder.encode(shown).decode()


def configure(settings: Settings, stream: TextIO) -> None:
    """Send all log lines of this process to ``stream``, as the settings say.

    Levels are set on the loggers and not on the handler, so that a request which asks for another
    level gets its lines. Other libraries are heard from warnings on, at ``debug`` from info on.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(settings.log_level)
    logging.captureWarnings(capture=True)


def set_level(level: str) -> None:
    """Let what is logged be as much as the setting ``log_level`` says."""
    logging.getLogger().setLevel(_OTHERS[level])
    logging.getLogger("modeld").setLevel(_OURS[level])


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def _json_escaped(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
