# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import inspect
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modeld import BlockingModels, Models, Token
from modeld.errors import ConfigurationError, DrainingError, InvalidRequestError, StartError
from modeld.responses import EmbedResponse, RerankResponse, TextResponse, TokenizeResponse, Usage
from modeld.values import ModelSpec
from tests.support.http.fake_service import DONE, FakeService
from tests.support.pythonapi import blocking, local

CHAT = [{"role": "user", "content": "hi"}]


def test_a_script_chats_and_streams() -> None:
    service = FakeService()
    with blocking(service) as models:
        assert models.chat("m", CHAT).content == "ab"
        assert models.generate("m", "hi").usage == DONE.usage
        assert list(models.stream_chat("m", CHAT, max_tokens=3)) == list(service.script)
        assert list(models.stream_generate("m", "hi", stop=["x"])) == list(service.script)
    assert service.calls == ["start", "aclose"]
    assert [request.stop for request in service.requests] == [(), (), (), ("x",)]


def test_every_verb_waits_for_its_outcome() -> None:
    service = FakeService(models=(ModelSpec(id="m", name="m", path="m"),))
    with blocking(service) as models:
        service.unary_response = vectors = EmbedResponse(vectors=((1.0,),), usage=Usage())
        assert models.embed("m", "x", normalize=False) == vectors
        service.unary_response = scores = RerankResponse(scores=(1.0,), usage=Usage())
        assert models.rerank("m", "q", ["d"]) == scores
        service.unary_response = tokens = TokenizeResponse(ids=(1,))
        assert models.tokenize("m", "t", add_special=False) == tokens
        service.unary_response = TextResponse(text="t")
        assert models.detokenize("m", [1]) == models.apply_template("m", CHAT) == "t"
        assert [spec.id for spec in (*models.list(), *models.refresh())] == ["m", "m"]
        models.load("m", keep_alive_s=3)
        models.pin("m")
        models.unload("m")
        assert models.plan("m").outcome == "loads"
        assert models.status() == service.snapshot
    assert service.calls == ["start", "refresh", "load m for 3", "pin m", "unload m", "aclose"]


def test_both_forms_have_the_same_verbs() -> None:
    def verbs(form: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(member).parameters)
            for name, member in vars(form).items()
            if not name.startswith("_") and callable(member)
        }

    asynchronous = verbs(Models)
    asynchronous["close"] = asynchronous.pop("aclose")
    assert verbs(BlockingModels) == asynchronous


def test_it_works_where_an_event_loop_runs() -> None:
    async def cell() -> str:
        with blocking(FakeService()) as models:
            pieces = [chunk.text for chunk in models.stream_chat("m", CHAT) if type(chunk) is Token]
            return models.chat("m", CHAT).content + "".join(pieces)

    assert asyncio.run(cell()) == "abab"


def test_the_first_verb_starts_it_and_the_close_ends_its_thread() -> None:
    service = FakeService()
    before = threading.active_count()
    models = blocking(service)
    models.close()  # there is nothing yet
    models = blocking(service)
    assert threading.active_count() == before
    assert models.chat("m", CHAT).content == "ab"
    models.close()
    models.close()
    assert threading.active_count() == before
    assert service.calls == ["start", "aclose"]
    with pytest.raises(DrainingError, match="open them anew"):
        models.chat("m", CHAT)


def test_a_start_that_fails_leaves_no_thread_behind() -> None:
    service = FakeService()
    service.start_error = ConfigurationError("bad")
    before = threading.active_count()
    with pytest.raises(ConfigurationError, match="bad"), blocking(service):
        pass
    assert threading.active_count() == before


def test_what_is_wrong_is_refused_where_it_is_said() -> None:
    service = FakeService()
    with blocking(service) as models, pytest.raises(InvalidRequestError, match="max_tokens"):
        models.stream_chat("m", CHAT, max_tokens=0)  # not only where somebody iterates
    assert service.requests == []


def test_leaving_the_loop_early_frees_the_slot() -> None:
    opened, counter = local()
    with BlockingModels(opened) as models:
        for chunk in models.stream_generate("a", "one WAIT"):
            assert chunk == Token(text="one")
            break
        assert counter.backend.engines[0].running == 0
        assert models.generate("a", "two").content == "two"


def test_many_threads_use_one() -> None:
    opened, counter = local()
    with BlockingModels(opened) as models, ThreadPoolExecutor(8) as threads:
        words = [f"word{number}" for number in range(40)]
        said = list(threads.map(lambda word: models.generate("a", word).content, words))
    assert said == words
    assert len(counter.backend.engines) == 1


def test_a_stream_that_is_open_at_the_end_is_told() -> None:
    opened, _ = local()
    models = BlockingModels(opened)
    stream = models.stream_generate("a", "one WAIT")
    assert next(stream) == Token(text="one")
    models.close()
    with pytest.raises(DrainingError):
        next(stream)


FORGOTTEN = """
from tests.support.pythonapi import blocking
from tests.support.http.fake_service import FakeService
import asyncio, modeld
service = FakeService(modeld.Token(text="a"), asyncio.Event())
models = blocking(service)
stream = models.stream_generate("m", "hi")
print(next(stream).text)
import atexit
atexit._run_exitfuncs()
print(service.calls, service.ends)
"""


def test_a_script_that_forgets_to_close_ends_all_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGOTTEN], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["a", "['start', 'aclose'] ['left']"]
    assert done.stderr == ""


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_process_that_is_forked_off_is_told_instead_of_waiting_forever() -> None:
    service = FakeService()
    with blocking(service) as models:
        models.start()
        pid = os.fork()
        if not pid:
            try:
                models.chat("m", CHAT)
            except StartError as exc:
                models.close()
                os._exit(7 if "forked off" in exc.message else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert models.chat("m", CHAT).content == "ab"
