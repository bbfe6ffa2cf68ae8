# SPDX-License-Identifier: GPL-3.0-only
"""All pulls of clients: those that run, and the last that have ended."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from modeld import ModelService, Settings
from modeld.errors import DrainingError, InternalError, ModeldError
from modeld_pull.errors import PullCancelledError, PullNotFoundError, PullsFullError
from modeld_pull.progress import Show
from modeld_pull.reference import Reference
from modeld_pull.server.job import Bring, Job
from modeld_pull.settings import PullSettings

MOST_ENDED: Final = 20
"""How many pulls are listed that have ended."""

FULL_RETRY_S: Final = 10.0

ENDING_S: Final = 10.0
"""How long the end of a cancelled pull is waited for: a disk may hold it up."""

log = logging.getLogger("modeld.pull")


class Pulls:
    """Starts pulls, shares them and cancels them; it runs between the start and the service's end.

    Whoever asks for what is being pulled already gets that very job.
    """

    def __init__(self, settings: Settings, service: ModelService) -> None:
        self._settings = settings
        self._service = service
        self._own = settings.of(PullSettings)
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)
        self._group: asyncio.TaskGroup | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Be ready to pull; at the end of the block all pulls are cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for job in self._running():
                    job.cancel()

    def jobs(self) -> Sequence[Job]:
        """Return all that are known, the oldest first."""
        return tuple(self._jobs.values())

    async def start(self, reference: Reference) -> Job:
        """Return the job that pulls this, a new one unless there is one.

        One that was cancelled is no such job; its end is waited for.

        Raises:
            PullCancelledError: a cancelled one does not end.
            PullsFullError: as many run as may.
            DrainingError: the service is ending.
        """
        while job := self._running_of(reference):
            if not job.is_ending:
                return job
            await _end_of(job)
        return self._new(reference)

    def _new(self, reference: Reference) -> Job:
        running = self._running()
        if self._group is None:
            raise DrainingError("the server is shutting down", retry_after_s=1)
        if len(running) >= self._own.at_once:
            raise PullsFullError(
                f"{len(running)} pulls run, which is the limit (pull.at_once); wait for one to end",
                retry_after_s=FULL_RETRY_S,
            )
        job = Job(str(next(self._numbers)), reference)
        self._jobs[job.id] = job
        self._forget_oldest()
        self._group.create_task(self._run(job), name=f"modeld-pull-{job.id}")
        return job

    def remove(self, number: str) -> Job:
        """Cancel a job, or forget it if it is over, and return it.

        Raises:
            PullNotFoundError: there is none of this number.
        """
        job = self._jobs.get(number)
        if job is None:
            raise PullNotFoundError(f"there is no pull {number!a}; GET /models/pulls lists them")
        if job.state == "running":
            job.cancel()
        else:
            del self._jobs[number]
        return job

    async def _run(self, job: Job) -> None:
        """Pull, then have the models listed; whatever happens becomes the job's end."""
        log.info("pull %s of %s begins", job.id, job.reference)
        try:
            files = await job.run(self._bring(job.reference))
            job.files = tuple(map(str, files))
            job.models = await self._models_of(files)
        except asyncio.CancelledError:
            job.end("cancelled", PullCancelledError(f"the pull of {job.reference} was cancelled"))
        except ModeldError as exc:
            job.end("failed", exc)
        except Exception as exc:
            log.exception("pull %s has failed", job.id)
            job.end("failed", InternalError(f"the pull failed ({type(exc).__name__})"))
        else:
            job.end("done")
        said = f": {job.error.message}" if job.error else ""
        log.info("pull %s of %s is %s%s", job.id, job.reference, job.state, said)

    def _bring(self, reference: Reference) -> Bring:
        return partial(_bring, reference, self._settings)

    async def _models_of(self, files: Sequence[Path]) -> Sequence[str]:
        """Look for models again, and return the ids of those that have come."""
        paths = {str(file) for file in files}
        specs = await self._service.refresh()
        return tuple(spec.id for spec in specs if spec.path in paths)

    def _running_of(self, reference: Reference) -> Job | None:
        return next((job for job in self._running() if job.reference == reference), None)

    def _running(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.state == "running"]

    def _forget_oldest(self) -> None:
        ended = [job.id for job in self._jobs.values() if job.state != "running"]
        for number in ended[: max(0, len(ended) - MOST_ENDED)]:
            del self._jobs[number]


async def _end_of(job: Job) -> None:
    try:
        async with asyncio.timeout(ENDING_S):
            await job.ended.wait()
    except TimeoutError as exc:
        raise PullCancelledError(
            f"the pull of {job.reference} was cancelled and has not ended yet",
            retry_after_s=FULL_RETRY_S,
        ) from exc


async def _bring(reference: Reference, settings: Settings, show: Show) -> Sequence[Path]:
    """Pull; what that needs is imported on its own thread, when it is needed first."""
    from modeld_pull.pull import Surroundings, pull  # noqa: PLC0415  (aiohttp)

    around = Surroundings(models_dir=settings.model_folders[0], settings=settings.of(PullSettings))
    return await pull(reference, around, show)
