"""Images of many clients, answered together; each answer goes back to whoever sent the image.

A network costs less for eight images at once than eight times for one. So whoever comes first waits a few
milliseconds for others, and while a batch is being answered the next one gathers by itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

Answer = dict[str, Any]
"""What is known of one image, ready for JSON (`shared.predict`)."""
Answering = Callable[[Sequence[bytes]], Sequence[Answer]]
"""Image files to as many answers, in their order."""


class Batcher:
    """Hands images to `answering` in one thread of its own, at most `most` at a time."""

    def __init__(self, answering: Answering, most: int, wait: float, on_batch: Callable[[int], None] = lambda _: None):
        """`wait` in seconds; `on_batch` is told the size of every batch."""
        self._answering = answering
        self._most = most
        self._wait = wait
        self._on_batch = on_batch
        self._waiting: asyncio.Queue[tuple[bytes, asyncio.Future[Answer]]] = asyncio.Queue()
        self._open: set[asyncio.Future[Answer]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="answering")
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Within a running event loop."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Cancels those who still wait."""
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
        for answer in list(self._open):
            answer.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    async def ask(self, image: bytes) -> Answer:
        """The answer for one image; whoever is cancelled while waiting costs no further work.

        Raises what `answering` raised for this image, when it is asked about it alone.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._open.add(answer)
        answer.add_done_callback(self._open.discard)
        self._waiting.put_nowait((image, answer))
        return await answer

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [(image, future) for image, future in await self._gather() if not future.done()]
            if not batch:
                continue
            self._on_batch(len(batch))
            answers = await loop.run_in_executor(self._thread, self._answer, [image for image, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                _settle(future, answer)

    async def _gather(self) -> list[tuple[bytes, "asyncio.Future[Answer]"]]:
        batch = [await self._waiting.get()]
        with suppress(TimeoutError):
            async with asyncio.timeout(self._wait):
                while len(batch) < self._most:
                    batch.append(await self._waiting.get())
        return batch

    def _answer(self, images: Sequence[bytes]) -> Sequence[Answer | Exception]:
        """One answer or error for each image: what one of them breaks, it breaks for itself alone."""
        try:
            answers = self._answering(images)
            if len(answers) != len(images):
                raise RuntimeError(f"{len(answers)} answers for {len(images)} images")
            return answers
        except Exception as error:
            if len(images) == 1:
                return [error]
            return [self._answer([image])[0] for image in images]


def _settle(future: "asyncio.Future[Answer]", answer: Answer | Exception) -> None:
    if future.done():  # Its client gave up meanwhile.
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
