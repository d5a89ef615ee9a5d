"""What a file claims to be, read from its first bytes: nothing is decoded for it.

The HTTP application: POST an image, JSON back.
"""

import asyncio
import io
import logging
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from PIL import Image, UnidentifiedImageError
from prometheus_client import CONTENT_TYPE_LATEST as METRICS_TYPE
from starlette.requests import ClientDisconnect

from shared.faces.image_io import read_jpeg_header
from shared.serving.batching import Answer, Answering, Batcher
from shared.serving.docs_page import docs_page
from shared.serving.limits import Limits, Refusal, come_again, read_image, too_large
from shared.serving.schema import BEARER, REFUSALS, REQUEST_BODY, SECURITY, PhotographAnswer
from shared.serving.server import Metrics, check_token

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""What cameras, phones and browsers make. Pillow knows many more, some of which start other programs."""


def check_image(data: bytes, most_pixels: int) -> None:
    """Raises `Refusal` for an empty file, one that is no image of `FORMATS`, and one that claims too many pixels."""
    if not data:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "empty file")
    width, height = _claimed_size(data)
    if width * height > most_pixels:
        raise too_large(f"too large: {width} x {height} pixels; {most_pixels:,} are the limit")


def _claimed_size(data: bytes) -> tuple[int, int]:
    header = read_jpeg_header(data)
    if header is not None:
        return header.width, header.height
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Of odd metadata and of large images, which are looked at next.
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return image.size
    except UnidentifiedImageError as error:
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"not an image, or none of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise too_large("too large") from error
    except Exception as error:  # Pillow's readers raise nearly anything for a broken head.
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "broken") from error


PATIENCE = 2.0
"""Seconds that a refused client is listened to, so that it gets to read why."""
LISTENED = 4
"""Times the largest upload that is listened to, and thrown away, at most."""
CLIENT_LEFT = 499
"""No standard's, but what nginx writes for it."""
NOTHING_FROM_OUTSIDE = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob: data:"
DESCRIPTION = "Mask, gender and age of every face in a photograph. No image is stored, and none leaves the machine."

log = logging.getLogger(__name__)


class Service:
    """What the requests of one application share."""

    def __init__(self, answering: Answering, limits: Limits, token: str | None):
        self.limits = limits
        self.token = token
        self.metrics = Metrics()
        self.batcher = Batcher(answering, limits.batch, limits.batch_wait, self.metrics.batches.observe)
        self._inside = 0

    async def answer(self, request: Request) -> JSONResponse:
        """The response to one upload, whatever it is; counted and timed."""
        started = time.perf_counter()
        try:
            check_token(request.headers.get("Authorization"), self.token)
            response = JSONResponse(await self._admit(request))
        except Refusal as refusal:
            response = _say(refusal, await self._hear_out(request))
        except ClientDisconnect:
            response = JSONResponse(None, CLIENT_LEFT)  # Nobody reads it.
        except Exception:
            log.exception("an image could not be answered")
            response = _say(Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed on this image"), False)
        self.metrics.requests.labels(response.status_code).inc()
        self.metrics.seconds.observe(time.perf_counter() - started)
        return response

    async def _admit(self, request: Request) -> Answer:
        if self._inside >= self.limits.waiting:
            raise come_again("too many requests at once", seconds=1)
        self._inside += 1
        self.metrics.waiting.set(self._inside)
        try:
            return await self._image_to_answer(request)
        finally:
            self._inside -= 1
            self.metrics.waiting.set(self._inside)

    async def _image_to_answer(self, request: Request) -> Answer:
        image = await self._receive(request)
        await asyncio.to_thread(check_image, image, self.limits.pixels)
        try:
            async with asyncio.timeout(self.limits.seconds):
                answer = await self.batcher.ask(image)
        except TimeoutError:
            raise come_again(f"no answer within {self.limits.seconds:g} s", seconds=5) from None
        if answer["problem"]:
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, answer["problem"])
        self.metrics.faces.inc(len(answer["faces"]))
        return answer

    async def _receive(self, request: Request) -> bytes:
        headers = request.headers
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await read_image(
                    request.stream(),
                    headers.get("Content-Type", ""),
                    headers.get("Content-Length"),
                    self.limits.upload_bytes,
                )
        except TimeoutError:
            sentence = f"the image was not sent within {self.limits.seconds:g} s"
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, sentence) from None

    async def _hear_out(self, request: Request) -> bool:
        """Let a refused client finish sending, so that it reads why; whether it did within bounds."""
        left = LISTENED * self.limits.upload_bytes
        try:
            async with asyncio.timeout(PATIENCE):
                async for chunk in request.stream():
                    left -= len(chunk)
                    if left < 0:
                        return False
        except (TimeoutError, ClientDisconnect):
            return False
        except RuntimeError:  # Starlette's word for: all had been read before.
            return True
        return True


def _say(refusal: Refusal, finished: bool) -> JSONResponse:
    headers = refusal.headers if finished else {**refusal.headers, "Connection": "close"}
    return JSONResponse({"detail": refusal.sentence}, refusal.status, headers)


def create_app(answering: Answering, limits: Limits | None = None, token: str | None = None) -> FastAPI:
    """The application; `answering` is called in one thread, one batch after the other.

    With a token, answers and metrics are for those who send it; health and the description are for everyone.
    """
    service = Service(answering, limits or Limits(), token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.batcher.stop()

    app = FastAPI(
        title="face18",
        version=version("face18"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages fetch their scripts from a server of others.
        redoc_url=None,
    )
    _add_answers(app, service)
    _add_surroundings(app, service)
    app.openapi()["components"]["securitySchemes"] = BEARER
    return app


def _add_answers(app: FastAPI, service: Service) -> None:
    @app.post(
        "/faces",
        summary="Every face in an image",
        response_model=PhotographAnswer,
        responses=REFUSALS,
        openapi_extra={"requestBody": REQUEST_BODY, "security": SECURITY},
    )
    async def faces(request: Request) -> JSONResponse:
        """Send one image, as a form or as it is; get its faces with mask, gender and age. No face is no error."""
        return await service.answer(request)


def _add_surroundings(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="Whether the service answers")
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": app.version}

    @app.get("/metrics", summary="Counts and times for Prometheus", openapi_extra={"security": SECURITY})
    async def metrics(request: Request) -> Response:
        try:
            check_token(request.headers.get("Authorization"), service.token)
        except Refusal as refusal:
            return _say(refusal, finished=True)
        return Response(service.metrics.text(), media_type=METRICS_TYPE)

    @app.get("/docs", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()), headers={"Content-Security-Policy": NOTHING_FROM_OUTSIDE})
