"""Clips to an OpenAI-compatible server, from this process: decoders here, many requests under way.

The driver asks and not the cluster, so that the key stays in one process and one error budget holds
for the whole pass; the work is the server's.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from curation.captions.config import LLMConfig
from curation.captions.request import Seen, evidence
from curation.captions.server import Server, ServerError
from curation.media import Limits, MediaReader
from curation.records import RejectedError
from pipelines.caption_ask import Keep, answer_row, film_for, refused_row, show
from pipelines.ledger import Row

MOST_DECODERS = 16
T = TypeVar("T")


def ask_server(config: LLMConfig, films: dict[str, list[Row]], limits: Limits, keep: Keep) -> str:
    """Give every clip of `films` (path to clips) to keep() as an answer row; a word on troubles.

    Raises ServerError when the server cannot be used; answers so far were kept.
    """
    try:
        return asyncio.run(Asking(config, limits, keep).everything(films))
    except ExceptionGroup as group:
        for error in group.exceptions:
            if isinstance(error, ServerError):
                raise error from None
        raise


class Asking:
    """One pass: a few decoders, each with a thread of its own, and `concurrency` requests."""

    def __init__(self, config: LLMConfig, limits: Limits, keep: Keep) -> None:
        self._config, self._limits, self._keep = config, limits, keep
        self._teller = config.teller
        self._server = Server(config)
        self._places = asyncio.Semaphore(config.concurrency)  # frames in memory, requests under way

    async def everything(self, films: dict[str, list[Row]]) -> str:
        """Ask about all clips; the summary's words."""
        waiting = list(films.values())[::-1]
        wanted = self._config.workers or min(os.cpu_count() or 1, MOST_DECODERS)
        async with self._server, asyncio.TaskGroup() as tasks:
            for _ in range(min(wanted, len(waiting))):
                tasks.create_task(self._decoder(waiting, tasks))
        counts = ", ".join(f"{n} {what}" for what, n in self._server.counts.most_common())
        return f"{self._server.asked} requests to the server; {counts or 'no trouble'}"

    async def _decoder(self, waiting: list[list[Row]], tasks: asyncio.TaskGroup) -> None:
        """Film after film: show each clip and hand it over as soon as there is a place."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as thread, MediaReader(self._limits) as reader:

            async def aside(work: Callable[..., T], *given: Any) -> T:  # noqa: ANN401
                return await loop.run_in_executor(thread, partial(work, *given))

            while waiting:
                clips = waiting.pop()
                with ExitStack() as copies:
                    film: str | RejectedError
                    try:
                        film = await aside(
                            copies.enter_context, film_for(self._config, reader, clips)
                        )
                    except RejectedError as error:
                        film = error
                    for clip in clips:
                        await self._places.acquire()
                        try:
                            seen = await aside(self._look, reader, film, clip)
                        except RejectedError as error:
                            self._places.release()
                            self._keep(refused_row(clip, error, self._teller))
                        else:
                            tasks.create_task(self._ask(clip, seen))

    def _look(self, reader: MediaReader, film: str | RejectedError, clip: Row) -> Seen:
        if isinstance(film, RejectedError):
            raise film
        return show(self._config, reader, film, clip)

    async def _ask(self, clip: Row, seen: Seen) -> None:
        try:
            outcome = await self._server.describe(clip["clip_id"], seen, evidence(clip))
        finally:
            self._places.release()
        self._keep(answer_row(clip, outcome, self._teller))
