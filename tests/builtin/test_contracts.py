# SPDX-License-Identifier: GPL-3.0-only
"""What is built in keeps to the contracts of its kinds, and so does the native wire."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from modeld.builtin.cost_aware import CostAware
from modeld.builtin.gguf.folder import GgufFolder
from modeld.builtin.lfu import LeastFrequentlyUsed
from modeld.builtin.lru import LeastRecentlyUsed
from modeld.builtin.ndjson import Ndjson
from modeld.builtin.plain_json import PlainJson
from modeld.builtin.prometheus import PrometheusPlugin
from modeld.builtin.sse import ServerSentEvents
from modeld.builtin.trace import Trace
from modeld.dialects import Dialect
from modeld.httpapi.exchange.reading.accept import Formatters
from modeld.httpapi.routes.inference.native import Native
from modeld.testing import (
    DialectContract,
    EvictionPolicyContract,
    FormatterContract,
    ObserverContract,
    RoutesContract,
    SourceContract,
)
from tests.support.gguf.gguf_corpus import write_model


class TestLeastRecentlyUsed(EvictionPolicyContract):
    policy = LeastRecentlyUsed()


class TestLeastFrequentlyUsed(EvictionPolicyContract):
    policy = LeastFrequentlyUsed()


class TestCostAware(EvictionPolicyContract):
    policy = CostAware()


class TestNdjson(FormatterContract):
    formatter = Ndjson()


class TestServerSentEvents(FormatterContract):
    formatter = ServerSentEvents()


class TestPlainJson(FormatterContract):
    formatter = PlainJson()


class TestMetrics(ObserverContract):
    observer = PrometheusPlugin().metrics


class TestTrace(ObserverContract):
    observer = Trace()
    observer.append = deque(maxlen=1).append


class TestPrometheusRoutes(RoutesContract):
    plugin = PrometheusPlugin


class TestGgufFolder(SourceContract):
    lost = GgufFolder("/there/is/no/such/folder")

    @pytest.fixture
    def source(self, tmp_path: Path) -> GgufFolder:
        (tmp_path / "deeper").mkdir()
        write_model(tmp_path / "one.gguf")
        write_model(tmp_path / "deeper" / "one.gguf")
        (tmp_path / "cut.gguf").write_bytes((tmp_path / "one.gguf").read_bytes()[:500])
        return GgufFolder(str(tmp_path))


class NoPlugin:
    """The native wire is there without one."""


class TestNative(DialectContract):
    plugin = NoPlugin

    def brought(self) -> list[Dialect]:
        return [Native(Formatters([Ndjson(), PlainJson()]))]
