"""Predict images of many clients together, and give each client the result of its own image.

Eight images at once take less time than one image eight times. No image waits for others: while one batch is predicted,
the next one gathers.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

Image = TypeVar("Image")
Result = dict[str, Any]
"""The prediction for one image, ready for JSON."""


class Batcher(Generic[Image]):
    """Call `predict` in one thread, with at most `size` images at a time."""

    def __init__(
        self,
        predict: Callable[[Sequence[Image]], Sequence[Result]],
        size: int,
        on_batch: Callable[[int], None] = lambda _: None,
    ):
        """`predict` returns one result for each image, in their order; `on_batch` is called with the size of every
        batch."""
        self._predict = predict
        self._size = size
        self._on_batch = on_batch
        self._waiting: asyncio.Queue[tuple[Image, asyncio.Future[Result]]] = asyncio.Queue()
        self._open: set[asyncio.Future[Result]] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to predict; call it within a running event loop."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop; images that still wait are cancelled."""
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop
        for future in list(self._open):
            future.cancel()
        await asyncio.to_thread(self._thread.shutdown)

    async def predict(self, image: Image) -> Result:
        """Return the result of one image. Cancelled calls cost no further work.

        Raises what `predict` raises for this image alone.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        self._waiting.put_nowait((image, future))
        return await future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [(image, future) for image, future in await self._gather() if not future.done()]
            if not batch:
                continue
            self._on_batch(len(batch))
            results = await loop.run_in_executor(self._thread, self._results, [image for image, _ in batch])
            for (_, future), result in zip(batch, results, strict=True):
                if future.done():  # Its client has left.
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    async def _gather(self) -> list[tuple[Image, "asyncio.Future[Result]"]]:
        batch = [await self._waiting.get()]
        while len(batch) < self._size and not self._waiting.empty():
            batch.append(self._waiting.get_nowait())
        return batch

    def _results(self, images: Sequence[Image]) -> Sequence[Result | Exception]:
        """Return a result or an error for each image; an image that fails is repeated alone and harms no other."""
        try:
            results = self._predict(images)
            if len(results) != len(images):
                raise RuntimeError(f"{len(results)} results for {len(images)} images")
            return results
        except Exception as error:
            if len(images) == 1:
                return [error]
            return [self._results([image])[0] for image in images]
