# SPDX-License-Identifier: GPL-3.0-only
"""The parts of contents, as far as the routes for chats and for responses share them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from pydantic import Discriminator, Field

from modeld.dialects.body import Strict, wrong
from modeld.messages import AudioPart, ImagePart, Part, TextPart

P = TypeVar("P")

MAX_PARTS = 1024

_DATA_URL: Final = re.compile(
    r"data:(?P<media_type>[\w.+/-]{0,128});base64,(?P<data>.*)", re.DOTALL
)
AUDIO_TYPES: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""The media types of the formats that sounds have."""


class InputAudio(Strict):
    """A sound."""

    data: str = Field(description="the bytes of the file, as base64")
    format: Literal["wav", "mp3"]


class AudioContent(Strict):
    """A sound."""

    type: Literal["input_audio"]
    input_audio: InputAudio


def by_type(tags: Mapping[str, str], other: str) -> Discriminator:
    """Return what tells alternatives apart by their ``type``; those without one are ``other``."""

    def tag_of(given: Any) -> str:
        kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
        return tags.get(kind, other) if isinstance(kind, str) else other

    return Discriminator(tag_of)


def kind_of_content(given: Any) -> str:
    """Return the tag of a content: a text, or a list of parts."""
    return "~parts" if isinstance(given, list) else "~text"


def content_of(
    where: str, content: str | Sequence[P] | None, part_of: Callable[[str, P], Part]
) -> str | tuple[Part, ...]:
    """Return a content as the service knows it; one text is a text, and no list.

    Raises:
        InvalidRequestError: a file in it cannot be read.
    """
    if content is None or isinstance(content, str):
        return content or ""
    parts = tuple(part_of(f"{where}[{index}]", part) for index, part in enumerate(content))
    match parts:
        case (TextPart(text=text),):
            return text
        case _:
            return parts


def sound_of(where: str, part: AudioContent) -> AudioPart:
    """Return the sound in a part.

    Raises:
        InvalidRequestError: it cannot be read.
    """
    audio = part.input_audio
    data = bytes_of(f"{where}.input_audio.data", audio.data)
    return AudioPart(data=data, media_type=AUDIO_TYPES[audio.format])


def image_of(where: str, url: str) -> ImagePart:
    """Return the image in an address.

    Raises:
        InvalidRequestError: it is elsewhere, or cannot be read.
    """
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise wrong(where, "must be a data: URL with base64; nothing is fetched from elsewhere")
    return ImagePart(data=bytes_of(where, found["data"]), media_type=found["media_type"])


def bytes_of(where: str, data: str) -> bytes:
    """Return the bytes of a file that comes as base64.

    Raises:
        InvalidRequestError: it is none, or has no bytes.
    """
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise wrong(where, f"is no base64: {exc}") from exc
    if not decoded:
        raise wrong(where, "has no bytes")
    return decoded
