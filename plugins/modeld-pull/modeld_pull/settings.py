# SPDX-License-Identifier: GPL-3.0-only
"""What can be set about pulling."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modeld import PluginSettings
from modeld.errors import ConfigurationError
from modeld_pull.reference import fault_of_url


class PullSettings(PluginSettings, frozen=True):
    """The settings that stand under ``pull``."""

    clients: Annotated[
        bool, Meta(description="let clients pull models with POST /models/pull, onto this disk")
    ] = False
    client_urls: Annotated[
        tuple[str, ...],
        Meta(
            description="beginnings of the URLs that clients may pull from beside the hub, such as"
            " https://models.example/gguf/, comma-separated"
        ),
    ] = ()
    at_once: Annotated[
        int, Meta(ge=1, le=16, description="most pulls of clients that run at once")
    ] = 2
    endpoint: Annotated[
        str,
        Meta(description="address of the hub; unless set, HF_ENDPOINT or else Hugging Face's own"),
    ] = ""
    token_file: Annotated[
        str,
        Meta(
            description="file with the token for the hub; unless set, HF_TOKEN or else where"
            " Hugging Face's own tools keep it"
        ),
    ] = ""
    keep_free_mb: Annotated[
        int, Meta(ge=0, description="space on the disk that a pull leaves free, in MiB")
    ] = 1024
    stall_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time that a source may send nothing")
    ] = 60.0
    retries: Annotated[
        int, Meta(ge=0, le=100, description="tries in a row that may fail and are repeated")
    ] = 5

    def __post_init__(self) -> None:
        """Check that addresses are addresses.

        Raises:
            ConfigurationError: one is none; its setting is named.
        """
        named = [("client_urls", url) for url in self.client_urls]
        if self.endpoint:
            named.append(("endpoint", self.endpoint))
        for name, url in named:
            if fault := fault_of_url(url):
                raise ConfigurationError(f"pull.{name}: {url!a}: {fault}", field=f"pull.{name}")
