"""What one client, or all of them together, may ask of the service, and how a request is refused."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from shared.messages import UserError

MEBIBYTE = 2**20
REQUEST = 4
"""The images of a request may together have this many times the bytes of one."""


@dataclass(frozen=True)
class Limits:
    """What one client, or all of them together, may ask for."""

    max_mb: float = 16.0
    """Mebibytes of an image file, counted while it arrives."""
    max_pixels: int = 50_000_000
    """Width x height of an image, checked before it is decoded."""
    seconds: float = 30.0
    """Time for sending an image, and again for its prediction."""
    images: int = 16
    """Images of one request to /v1/faces."""
    waiting: int = 48
    """Complete images in the service at the same time; further requests get status 503."""
    per_address: int = 24
    """Requests of one address at the same time; further ones get status 429."""
    batch: int = 8
    """Images predicted together at most."""

    def __post_init__(self) -> None:
        for name in ("max_pixels", "images", "waiting", "per_address", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 1")
        for flag, amount in (("--max-mb", self.max_mb), ("--seconds", self.seconds)):
            if amount <= 0:
                raise UserError(f"{flag} {amount}: must be more than 0")

    @property
    def max_bytes(self) -> int:
        """Bytes of an image file."""
        return round(self.max_mb * MEBIBYTE)

    @property
    def max_request(self) -> int:
        """Bytes of all images of a request."""
        return REQUEST * self.max_bytes


class Refusal(Exception):  # noqa: N818 - it becomes a response, not an error of the service.
    """A request that is refused, with a sentence for people."""

    def __init__(self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None):
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers or {}


def come_again(sentence: str, seconds: int, status: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE) -> Refusal:
    """Return a refusal of what may succeed later."""
    return Refusal(status, sentence, {"Retry-After": str(seconds)})


def too_large(sentence: str) -> Refusal:
    """Return a refusal of too many bytes or pixels."""
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)


class Places:
    """Counts requests and bytes in the service. All methods run in the event loop, so that no lock is needed."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._images = self._large = 0
        self._arriving = 0
        """Bytes of images that are not complete yet."""

    @contextmanager
    def of_address(self, address: str) -> Iterator[None]:
        """A request of an address, from its head to its response; refused if the address has too many."""
        if self._by_address[address] >= self._limits.per_address:
            raise come_again("too many requests of this address at once", 1, HTTPStatus.TOO_MANY_REQUESTS)
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._by_address[address] -= 1
            self._by_address += Counter()  # Removes addresses without requests.

    @contextmanager
    def of_images(self, count: int) -> Iterator[None]:
        """Complete images until their predictions; refused if there are too many."""
        if self._images + count > self._limits.waiting:
            raise come_again("too many requests at once", 1)
        self._images += count
        try:
            yield
        finally:
            self._images -= count

    @contextmanager
    def of_large(self) -> Iterator[None]:
        """A large image until its prediction; refused if they are more than a quarter of all."""
        if self._large >= max(1, self._limits.waiting // 4):
            raise come_again("too many large images at once", 5)
        self._large += 1
        try:
            yield
        finally:
            self._large -= 1

    @property
    def full(self) -> bool:
        """Whether a further image would be refused."""
        return self._images >= self._limits.waiting

    def too_long(self) -> Refusal:
        """Return a refusal of a body with too many bytes."""
        one, all_ = self._limits.max_bytes, self._limits.max_request
        return too_large(f"too large: an image file may have {one:,} bytes, all images of a request {all_:,}")

    async def count(self, body: AsyncIterator[bytes], longest: int) -> AsyncIterator[bytes]:
        """Pass on a body; refused as soon as it, or all arriving bodies together, are longer than allowed."""
        length = 0
        try:
            async for chunk in body:
                length += len(chunk)
                self._arriving += len(chunk)
                if length > longest:
                    raise self.too_long()
                if self._arriving > self._limits.waiting * self._limits.max_bytes:
                    raise come_again("too many images arrive at once", 1)
                yield chunk
        finally:
            self._arriving -= length
