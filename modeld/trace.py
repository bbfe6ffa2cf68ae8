# SPDX-License-Identifier: GPL-3.0-only
"""The rows of a trace: when which model was asked for, and what that cost.

A trace is a file of JSON objects, one a row, whose ``type`` says which of these it is. There are
numbers in it, ids of models and words from fixed sets; no prompt, no generated text, no key, no
address. Times are in seconds, those that end in ``_unix`` since 1970.
"""

from __future__ import annotations

from typing import TypeAlias

from modeld.values import Value


class RequestRow(Value, frozen=True, kw_only=True, tag="request"):
    """One request that is over, written as it ended.

    ``queue_wait_s`` it was in its model's queue, ``load_s`` of that the model was being loaded, and
    ``service_s`` it had a slot; ``None`` where it never had one. ``outcome`` is that of
    ``RequestFinished``, or the ``reason`` of ``RequestRefused``.
    """

    model: str
    arrived_unix: float
    queue_wait_s: float
    load_s: float
    service_s: float | None
    prompt_tokens: int
    completion_tokens: int
    outcome: str


class ModelRow(Value, frozen=True, kw_only=True, tag="model"):
    """A load that has ended well: what the model holds, and how long the load took."""

    model: str
    loaded_unix: float
    held_bytes: int
    load_seconds: float
    slots: int


TraceRow: TypeAlias = RequestRow | ModelRow
