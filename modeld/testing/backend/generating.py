# SPDX-License-Identifier: GPL-3.0-only
"""Checks of what an engine makes of requests for text."""

from __future__ import annotations

import asyncio
from typing import Final

from modeld import Capability, Engine, FinishReason, Usage
from modeld.responses import PIECES
from modeld.testing.backend.driven import DrivenEngine
from modeld.testing.backend.loading import LOADED
from modeld.testing.backend.subject import (
    BackendSubject,
    Generation,
    check_whole_number,
    collect,
)
from modeld.testing.contract import DisclaimedError, assert_that, check
from modeld.testing.loop_watch import check_free_loop

ENDS: Final = "test_a_generation_ends_once"
REPEATS: Final = "test_a_generation_is_repeatable"
CUT: Final = "\N{REPLACEMENT CHARACTER}"


class GenerationChecks(BackendSubject):
    """Texts, their ends, and what bounds them."""

    @check(LOADED)
    async def test_a_generation_ends_once(self) -> None:
        """There is one ``Done``, it is the last, and nothing comes after it."""
        async with self.loaded() as engine:
            for found in await self._several(engine):
                assert_that(
                    found.done is not None,
                    "the generation ended without a Done; yield one last, with the reason and the"
                    " usage",
                )
                assert_that(
                    not found.late, f"{found.late!r} came after the Done; nothing may follow it"
                )
                assert found.done is not None
                assert_that(
                    isinstance(found.done.finish_reason, FinishReason),
                    f"Done has the finish_reason {found.done.finish_reason!r}; it must be a"
                    " modeld.FinishReason",
                )
                pieces: list[object] = [*found.pieces]
                strange = [each for each in pieces if not isinstance(each, PIECES)]
                assert_that(not strange, f"{strange!r} is no part of a generation")
            strays = engine.strays if isinstance(engine, DrivenEngine) else []
            assert_that(
                not strays, f"step returned {'; '.join(strays)}; nothing follows the end of an id"
            )

    @check(ENDS)
    async def test_texts_are_there_and_can_be_sent(self) -> None:
        """No text is empty, and each can be encoded."""
        async with self.loaded() as engine:
            found = await self.long(engine)
            for text in found.texts:
                assert_that(
                    text,
                    f"a Token has the text {text!r}; yield nothing where there is nothing to show",
                )
                try:
                    text.encode()
                except UnicodeEncodeError as exc:
                    raise AssertionError(
                        f"the text {text!r} has half of a surrogate pair; keep it back until the"
                        " other half has come"
                    ) from exc

    @check(ENDS)
    async def test_characters_are_whole(self) -> None:
        """No character is cut between two pieces."""
        async with self.loaded() as engine:
            prompt = f"{self.prompt} \N{BALLOON}\N{BALLOON} naïve \N{BALLOON} 日本語 \N{BALLOON}"
            probable = 0 if Capability.LOGPROBS in self.declared else None
            found = await collect(engine, self.request(prompt=prompt, logprobs=probable))
            if probable is not None:
                _check_bytes(found)
                return
            for before, after in zip(found.texts, found.texts[1:], strict=False):
                assert_that(
                    not (before.endswith(CUT) and after.startswith(CUT)),
                    f"a character was cut between {before!r} and {after!r}; keep bytes back until"
                    " those of a whole character are there",
                )

    @check(ENDS)
    async def test_usage_is_counted(self) -> None:
        """The numbers of the end are counts that fit each other."""
        async with self.loaded() as engine:
            found = await self.long(engine)
            assert found.done is not None
            usage = found.done.usage
            for name in {*Usage.__struct_fields__} - {"fit", "load_s"}:  # the service's own
                check_whole_number(f"usage's {name}", getattr(usage, name), 0)
            assert_that(
                usage.completion_tokens >= len(found.texts),
                f"usage counts {usage.completion_tokens} tokens, and {len(found.texts)} pieces"
                " came; count every token that was generated",
            )
            assert_that(
                usage.cached_tokens <= usage.prompt_tokens,
                f"usage has {usage.cached_tokens} cached tokens of {usage.prompt_tokens} in the"
                " prompt; they are a part of them",
            )

    @check(ENDS)
    async def test_max_tokens_bounds_a_generation(self) -> None:
        """It has as many tokens as were asked for at the most, and says that this ended it."""
        async with self.loaded() as engine:
            await self.long(engine)
            for most in (1, 3):
                found = await collect(engine, self.request(max_tokens=most))
                assert found.done is not None
                count = max(len(found.texts), found.done.usage.completion_tokens)
                assert_that(
                    count <= most, f"max_tokens was {most}, and {count} tokens came; end there"
                )
                assert_that(
                    found.done.finish_reason is FinishReason.LENGTH,
                    f"max_tokens ended it, and the finish_reason is {found.done.finish_reason!r};"
                    " it must be FinishReason.LENGTH",
                )

    @check(ENDS)
    async def test_a_generation_is_repeatable(self) -> None:
        """Nothing is left to chance where the request says so."""
        async with self.loaded() as engine:
            one, other = await self.long(engine), await self.long(engine)
            assert_that(
                one.text == other.text,
                f"the same request gave {one.text!r} and then {other.text!r}; temperature 0 always"
                " takes the likeliest token, and nothing of one request may get into another",
            )

    @check(REPEATS)
    async def test_a_stop_text_ends_a_generation(self) -> None:
        """It ends before the text, of which nothing is shown, in however many pieces it comes."""
        async with self.loaded() as engine:
            texts = (await self.long(engine)).texts
            whole = "".join(texts)
            across = "".join(texts[:4])[-2:] + texts[4][:1]
            for stop in (texts[3], across, texts[2] + texts[3] + texts[4]):
                found = await collect(engine, self.request(stop=(stop,)))
                due = whole[: whole.index(stop)]
                assert_that(
                    found.text == due,
                    f"the stop text {stop!r} should have left {due!r}, and {found.text!r} came;"
                    " keep back what may be the beginning of a stop text until that is known",
                )
                assert found.done is not None
                assert_that(
                    found.done.finish_reason is FinishReason.STOP,
                    f"a stop text ended it, and the finish_reason is {found.done.finish_reason!r}",
                )
                assert_that(
                    found.done.stop_text in {None, stop},
                    f"the stop text {stop!r} ended it, and stop_text is {found.done.stop_text!r}",
                )

    @check(ENDS)
    async def test_steps_are_short(self) -> None:
        """Between steps requests come and go, so none takes long."""
        async with self.loaded() as engine:
            if not isinstance(engine, DrivenEngine):
                raise DisclaimedError("the engine has no steps")
            for _ in range(3):  # the best of three: others use this machine too
                engine.longest_step_s = 0.0
                await collect(engine, self.request())
                if engine.longest_step_s < self.step_s:
                    return
            raise AssertionError(
                f"a step took {engine.longest_step_s:.1f} s; it should stay well below a second:"
                " return what there is, and go on in the next one"
            )

    @check(ENDS)
    async def test_the_loop_goes_on_during_a_generation(self) -> None:
        """Nothing blocks the event loop meanwhile."""
        async with self.loaded() as engine:
            await check_free_loop(
                self.quick_s, "a generation", lambda: collect(engine, self.request())
            )

    @check(REPEATS)
    async def test_slots_serve_at_once_and_apart(self) -> None:
        """As many requests as there are slots run together, and each gets its own text."""
        async with self.loaded() as engine:
            prompts = [f"{number} {self.prompt}" for number in range(min(engine.slots, 4))]
            alone = [await collect(engine, self.request(prompt=each)) for each in prompts]
            together = await asyncio.gather(
                *(collect(engine, self.request(prompt=each)) for each in prompts)
            )
            for one, other in zip(alone, together, strict=True):
                assert_that(other.done, "a generation beside others ended without a Done")
                assert_that(
                    bool(one.texts) == bool(other.texts) and _agree(one.text, other.text),
                    f"alone it was {one.text!r}, and beside others {other.text!r}; requests must"
                    " not get into each other",
                )

    async def _several(self, engine: Engine) -> list[Generation]:
        """Return some generations, at once where there are slots, the second a short one."""
        requests = [self.request(), self.request(max_tokens=2)]
        if engine.slots > 1:
            return list(await asyncio.gather(*(collect(engine, each) for each in requests)))
        return [await collect(engine, each) for each in requests]


def _agree(alone: str, together: str) -> bool:
    """Return whether two texts begin alike: rounding differs with how many run together."""
    most = min(len(alone), len(together), 8)
    return alone[:most] == together[:most]


def _check_bytes(found: Generation) -> None:
    """Fail where the texts are not what the bytes of the tokens say."""
    assert found.done is not None
    probable = [each for piece in found.pieces for each in piece.logprobs]
    content = b"".join(each.chosen.piece for each in (*probable, *found.done.logprobs))
    if probable:
        due = content.decode(errors="replace")
        assert_that(
            due.startswith(found.text) or found.text == due,
            f"the tokens' bytes are {due!r}, and the texts {found.text!r}; keep bytes back until"
            " those of a whole character are there",
        )
