# SPDX-License-Identifier: GPL-3.0-only
"""``options``: how tokens are chosen, and what Ollama decides for each request when it loads.

What modeld decides when a model is configured is refused by name, but for values that ask for what
is so anyway: clients send those without being asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import Field

from modeld.dialects.body import refused, usable
from modeld.dialects.sampling_fields import SamplingFields, with_parameters
from modeld.dialects.stop_fields import StopList
from modeld.sampling import SamplingParameter

MAX_TOKENS: Final = 2**31


def _fault_of_zero(limit: int) -> str | None:
    return None if limit else "must not be 0; send -1 for no limit"


def _configured(option: str) -> str:
    return f"is decided when the model is configured: set `{option}` for it in the settings"


class OllamaOptions(SamplingFields):
    """How tokens are chosen. An option that is null counts as left out."""

    num_predict: Annotated[int, Field(ge=-2, le=MAX_TOKENS), usable(_fault_of_zero)] | None = Field(
        None, description="longest generation; -1, -2 or without it what the context has room for"
    )
    stop: StopList | None = Field(
        None, description="texts that end the generation and are not part of it: one or a list"
    )
    num_ctx: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = Field(
        None, description="the context that the client counts on; refused if the model's is smaller"
    )
    num_keep: int | None = Field(
        None,
        ge=-(2**31),
        le=2**31,
        description="taken and without effect: nothing of a prompt is ever dropped",
    )
    penalize_newline: Annotated[
        None, refused("only true: penalties count line ends like all tokens", but=(True,))
    ] = None
    tfs_z: Annotated[
        None, refused("is not served; leave it out or send 1, which is off", but=(1, 1.0))
    ] = None
    num_batch: Annotated[None, refused(_configured("batch"))] = None
    num_gpu: Annotated[None, refused(f"{_configured('gpu_layers')}, or send -1", but=(-1,))] = None
    main_gpu: Annotated[None, refused(_configured("main_gpu"))] = None
    num_thread: Annotated[None, refused(f"{_configured('threads')}, or send 0", but=(0,))] = None
    draft_num_predict: Annotated[None, refused(_configured("draft_tokens"))] = None
    use_mmap: Annotated[None, refused(_configured("mmap"))] = None
    use_mlock: Annotated[None, refused(_configured("mlock"), but=(False,))] = None
    f16_kv: Annotated[None, refused(_configured("cache_type_k"), but=(True,))] = None
    embedding_only: Annotated[None, refused(_configured("embeddings"), but=(False,))] = None
    numa: Annotated[None, refused("is not served; leave it out", but=(False,))] = None
    low_vram: Annotated[None, refused("is not served; leave it out", but=(False,))] = None
    logits_all: Annotated[None, refused("is not served; leave it out", but=(False,))] = None
    vocab_only: Annotated[None, refused("is not served; leave it out", but=(False,))] = None

    def members(self) -> dict[str, Any]:
        """Return the same as members of a request for the service."""
        limit = self.num_predict
        return {
            "sampling": self.to_sampling(),
            "max_tokens": limit if limit is not None and limit > 0 else None,
            "stop": tuple(self.stop or ()),
        }


def options_body(parameters: Iterable[SamplingParameter]) -> type[OllamaOptions]:
    """Return the options with those that backends declare, but for what is here already."""
    own = tuple(row for row in parameters if row.name not in OllamaOptions.model_fields)
    return with_parameters(OllamaOptions, own)
