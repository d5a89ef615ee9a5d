"""The HTTP application: routes, and the way of one request from its token to its response."""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Generic

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.requests import ClientDisconnect

from shared.faces.image_io import UnusableImageError
from shared.html_pages import render
from shared.serving.batching import Batcher, Image, Result
from shared.serving.limits import Limits, Places, Refusal, come_again
from shared.serving.schema import REFUSALS, REQUEST_BODY, SECURITY, SECURITY_SCHEMES, PhotographResult
from shared.serving.uploads import check_image, read_image, refusal_of

DRAIN_SECONDS = 2.0
"""How long the rest of a refused upload is read, so that its client gets to read the response."""
DRAIN_SHARE = 4
"""How many times the largest upload is read and thrown away for that at most."""
CLIENT_LEFT = 499
"""No standard status; nginx uses it in its logs."""
CONTENT_POLICY = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob: data:"
"""What a browser may fetch for /docs: nothing from other servers."""
DESCRIPTION = "Mask, gender and age of every face in a photograph. No image is stored, and none leaves the machine."

Decode = Callable[[bytes], Image]
"""The content of an image file to what `Predict` takes; raises `UnusableImageError`."""
Predict = Callable[[Sequence[Image]], Sequence[Result]]
"""Images to one result each, in their order."""

log = logging.getLogger(__name__)


class Metrics:
    """Counts and times for Prometheus, never anything about an image. Each service has its own registry."""

    def __init__(self) -> None:
        self.registry = here = CollectorRegistry()
        ProcessCollector(registry=here)
        PlatformCollector(registry=here)
        self.requests = Counter("face18_requests", "Requests for a prediction, by status.", ["status"], registry=here)
        seconds = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
        self.seconds = Histogram("face18_request_seconds", "Time of a request.", buckets=seconds, registry=here)
        self.batches = Histogram(
            "face18_batch_images", "Images per batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=here
        )
        self.in_progress = Gauge("face18_requests_in_progress", "Requests in the service.", registry=here)
        self.faces = Counter("face18_faces", "Faces found.", registry=here)


class Service(Generic[Image]):
    """What the requests of one application share."""

    def __init__(self, decode: Decode[Image], predict: Predict[Image], limits: Limits, token: str | None):
        self.limits = limits
        self.places = Places(limits)
        self.metrics = Metrics()
        self.batcher = Batcher(predict, limits.batch, limits.batch_wait_ms / 1000, self.metrics.batches.observe)
        self._decode = decode
        self._decoders = [ThreadPoolExecutor(1, thread_name_prefix=f"decode-{size}") for size in ("usual", "large")]
        self._token = token

    def check_token(self, request: Request) -> None:
        """Raise `Refusal` unless the Authorization header holds the token; compares in constant time."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if self._token is None:
            return
        right = hmac.compare_digest(given.strip().encode(), self._token.encode())
        if scheme.lower() != "bearer" or not right:
            sentence = "this service requires a token: send it as Authorization: Bearer TOKEN"
            raise Refusal(HTTPStatus.UNAUTHORIZED, sentence, {"WWW-Authenticate": "Bearer"})

    async def respond(self, request: Request) -> JSONResponse:
        """Return the response to an upload of any kind; count and time it."""
        with self.metrics.seconds.time(), self.metrics.in_progress.track_inprogress():
            try:
                self.check_token(request)
                with self.places.of_address(request.client.host if request.client else ""):
                    response = JSONResponse(await self._predict(request))
            except Refusal as refusal:
                response = await self.refuse(request, refusal)
            except ClientDisconnect:
                response = JSONResponse(None, CLIENT_LEFT)  # Only for the metrics.
            except Exception:
                log.exception("prediction failed")
                failure = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "the service failed on this image")
                response = await self.refuse(request, failure)
        self.metrics.requests.labels(response.status_code).inc()
        return response

    async def _predict(self, request: Request) -> Result:
        data = await self._receive(request)
        large = await asyncio.to_thread(check_image, data, self.limits.max_pixels)
        with self.places.of_image(large):
            try:
                async with asyncio.timeout(self.limits.seconds):
                    decoder = self._decoders[large]
                    image = await asyncio.get_running_loop().run_in_executor(decoder, self._decode, data)
                    result = await self.batcher.predict(image)
            except TimeoutError:
                raise come_again(f"no prediction within {self.limits.seconds:g} s", seconds=5) from None
            except UnusableImageError as problem:
                raise refusal_of(problem) from None
        self.metrics.faces.inc(len(result["faces"]))
        return result

    async def stop(self) -> None:
        """Stop all threads; requests that still wait are cancelled."""
        await self.batcher.stop()
        for decoder in self._decoders:
            await asyncio.to_thread(decoder.shutdown)

    async def _receive(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await read_image(request.stream(), request.headers, self.places, self.limits)
        except TimeoutError:
            sentence = f"the image was not sent within {self.limits.seconds:g} s"
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, sentence) from None

    async def refuse(self, request: Request, refusal: Exception) -> JSONResponse:
        """Return the response to a request that raised `Refusal`."""
        assert isinstance(refusal, Refusal)
        headers = refusal.headers if await self._drain(request) else {**refusal.headers, "Connection": "close"}
        return JSONResponse({"detail": refusal.sentence}, refusal.status, headers)

    async def _drain(self, request: Request) -> bool:
        """Read the rest of a refused upload; return whether it ended within bounds."""
        left = DRAIN_SHARE * self.limits.max_bytes
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                async for chunk in request.stream():
                    left -= len(chunk)
                    if left < 0:
                        return False
        except (TimeoutError, ClientDisconnect):
            return False
        except RuntimeError:  # Starlette raises it if the body was read to its end before.
            return True
        return True


def create_app(
    decode: Decode[Image], predict: Predict[Image], limits: Limits | None = None, token: str | None = None
) -> FastAPI:
    """Return the application.

    It calls `decode` in two threads, one of them for large images, and `predict` in a third, one batch after the other.
    With a token, predictions and metrics require it; health and the description do not.
    """
    service = Service(decode, predict, limits or Limits(), token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.stop()

    app = FastAPI(
        title="face18",
        version=version("face18"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages fetch their scripts from other servers.
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,  # The functions of generated clients.
    )
    app.add_exception_handler(Refusal, service.refuse)
    _add_routes(app, service)
    app.openapi()["components"]["securitySchemes"] = SECURITY_SCHEMES
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post(
        "/faces",
        summary="Predict every face in an image",
        response_model=PhotographResult,
        responses=REFUSALS,
        openapi_extra={"requestBody": REQUEST_BODY, "security": SECURITY},
    )
    async def faces(request: Request) -> JSONResponse:
        """Send one image, as a form or as the body; get mask, gender and age of its faces. No face is no error."""
        return await service.respond(request)

    @app.get("/health", summary="Whether the service runs")
    async def health() -> dict[str, str]:
        return {"status": "ok", "version": app.version}

    @app.get(
        "/metrics",
        summary="Counts and times for Prometheus",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            401: REFUSALS[401],
        },
        openapi_extra={"security": SECURITY},
    )
    async def metrics(_: Annotated[None, Depends(service.check_token)]) -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = render("service_docs.html", api=app.openapi())
        return HTMLResponse(page, headers={"Content-Security-Policy": CONTENT_POLICY})
