"""Batches: no result is lost or given to another client, and no image harms another."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from shared.serving.batching import Batcher, Result


def echo(images: Sequence[bytes]) -> list[Result]:
    return [{"image": image.decode()} for image in images]


def with_batcher(
    conversation: Callable[[Batcher[bytes]], Awaitable[None]],
    predict: Callable[[Sequence[bytes]], Sequence[Result]] = echo,
    size: int = 4,
    on_batch: Callable[[int], None] = lambda _: None,
) -> None:
    async def run() -> None:
        batcher = Batcher[bytes](predict, size, on_batch)
        batcher.start()
        try:
            await asyncio.wait_for(conversation(batcher), 30)
        finally:
            await batcher.stop()

    asyncio.run(run())


def test_every_client_gets_the_result_of_its_own_image() -> None:
    sizes: list[int] = []

    async def conversation(batcher: Batcher[bytes]) -> None:
        async def client(name: int) -> None:
            for number in range(20):
                image = f"{name}/{number}"
                assert await batcher.predict(image.encode()) == {"image": image}

        await asyncio.gather(*(client(name) for name in range(13)))
        assert await batcher.predict(b"alone") == {"image": "alone"}

    with_batcher(conversation, on_batch=sizes.append)
    assert sum(sizes) == 13 * 20 + 1
    assert max(sizes) == 4


def test_an_image_that_fails_harms_no_other() -> None:
    def fragile(images: Sequence[bytes]) -> list[Result]:
        if b"bad" in images:
            raise ArithmeticError("bad")
        return echo(images)

    async def conversation(batcher: Batcher[bytes]) -> None:
        calls = [batcher.predict(image) for image in (b"a", b"bad", b"b")]
        good, bad, also_good = await asyncio.gather(*calls, return_exceptions=True)
        assert (good, also_good) == ({"image": "a"}, {"image": "b"})
        assert isinstance(bad, ArithmeticError)

    with_batcher(conversation, fragile)


def test_too_few_results_are_an_error_and_never_mixed_up() -> None:
    async def conversation(batcher: Batcher[bytes]) -> None:
        calls = [batcher.predict(b"a"), batcher.predict(b"b")]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(result, RuntimeError)

    with_batcher(conversation, lambda _: [])


def test_a_client_that_left_costs_no_work() -> None:
    seen: list[bytes] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(images: Sequence[bytes]) -> list[Result]:
        begun.set()
        go_on.wait(20)
        seen.extend(images)
        return echo(images)

    async def conversation(batcher: Batcher[bytes]) -> None:
        first = asyncio.create_task(batcher.predict(b"first"))
        await asyncio.to_thread(begun.wait, 20)
        leaving = asyncio.create_task(batcher.predict(b"leaving"))
        staying = asyncio.create_task(batcher.predict(b"staying"))
        await asyncio.sleep(0)
        leaving.cancel()
        go_on.set()
        assert await first == {"image": "first"}
        assert await staying == {"image": "staying"}

    with_batcher(conversation, slow)
    assert seen == [b"first", b"staying"]


def test_stopping_cancels_images_that_wait() -> None:
    async def run() -> None:
        batcher = Batcher[bytes](echo, 4)
        waiting = asyncio.create_task(batcher.predict(b"never started"))
        await asyncio.sleep(0)
        await batcher.stop()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 20)

    asyncio.run(run())
