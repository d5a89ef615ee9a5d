"""Batches: nothing lost, nothing mixed up, nothing broken for others."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence

import pytest

from shared.serving.batching import Answer, Batcher


def echo(images: Sequence[bytes]) -> list[Answer]:
    return [{"said": image.decode()} for image in images]


def with_batcher(
    conversation: Callable[[Batcher], Awaitable[None]],
    answering: Callable[[Sequence[bytes]], Sequence[Answer]] = echo,
    most: int = 4,
    on_batch: Callable[[int], None] = lambda _: None,
) -> None:
    async def run() -> None:
        batcher = Batcher(answering, most, wait=0.01, on_batch=on_batch)
        batcher.start()
        try:
            await asyncio.wait_for(conversation(batcher), 30)
        finally:
            await batcher.stop()

    asyncio.run(run())


def test_everyone_gets_the_answer_to_the_own_image() -> None:
    sizes: list[int] = []

    async def conversation(batcher: Batcher) -> None:
        async def client(name: int) -> None:
            for number in range(20):
                said = f"{name}/{number}"
                assert await batcher.ask(said.encode()) == {"said": said}

        await asyncio.gather(*(client(name) for name in range(13)))

    with_batcher(conversation, on_batch=sizes.append)
    assert sum(sizes) == 13 * 20
    assert max(sizes) == 4


def test_a_single_image_does_not_wait_for_company_for_ever() -> None:
    async def conversation(batcher: Batcher) -> None:
        assert await batcher.ask(b"alone") == {"said": "alone"}

    with_batcher(conversation)


def test_what_one_image_breaks_it_breaks_for_itself_alone() -> None:
    def fragile(images: Sequence[bytes]) -> list[Answer]:
        if b"bad" in images:
            raise ArithmeticError("bad")
        return echo(images)

    async def conversation(batcher: Batcher) -> None:
        asked = [batcher.ask(image) for image in (b"a", b"bad", b"b")]
        good, bad, also_good = await asyncio.gather(*asked, return_exceptions=True)
        assert (good, also_good) == ({"said": "a"}, {"said": "b"})
        assert isinstance(bad, ArithmeticError)

    with_batcher(conversation, fragile)


def test_too_few_answers_are_an_error_and_no_mixture() -> None:
    async def conversation(batcher: Batcher) -> None:
        for answer in await asyncio.gather(batcher.ask(b"a"), batcher.ask(b"b"), return_exceptions=True):
            assert isinstance(answer, RuntimeError)

    with_batcher(conversation, lambda _: [])


def test_whoever_gave_up_costs_no_work() -> None:
    asked: list[bytes] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow(images: Sequence[bytes]) -> list[Answer]:
        begun.set()
        go_on.wait(20)
        asked.extend(images)
        return echo(images)

    async def conversation(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.ask(b"first"))
        await asyncio.to_thread(begun.wait, 20)
        impatient = asyncio.create_task(batcher.ask(b"impatient"))
        patient = asyncio.create_task(batcher.ask(b"patient"))
        await asyncio.sleep(0)
        impatient.cancel()
        go_on.set()
        assert await first == {"said": "first"}
        assert await patient == {"said": "patient"}

    with_batcher(conversation, slow)
    assert asked == [b"first", b"patient"]


def test_stopping_leaves_nobody_waiting() -> None:
    async def run() -> None:
        batcher = Batcher(echo, 4, 0.01)
        waiting = asyncio.create_task(batcher.ask(b"never started"))
        await asyncio.sleep(0)
        await batcher.stop()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 20)

    asyncio.run(run())
