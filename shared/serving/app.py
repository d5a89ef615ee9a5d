"""The HTTP application: routes, and the way of one request from its token to its response."""

import asyncio
import hmac
import logging
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from itertools import groupby
from typing import Annotated, Generic

from fastapi import Depends, FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from shared.faces.image_io import UnusableImageError
from shared.html_pages import render
from shared.messages import UserError
from shared.predictor.results import Photograph
from shared.serving.batching import Batcher, Image, Result
from shared.serving.limits import Limits, Places, Refusal, come_again
from shared.serving.monitoring import REQUEST_ID, Metrics, RequestLog
from shared.serving.schema import (
    ONE_IMAGE,
    REFUSALS,
    SECURITY,
    SECURITY_SCHEMES,
    SEVERAL_IMAGES,
    ImagesResult,
    ModelResult,
    PhotographResult,
    body_schemas,
)
from shared.serving.uploads import Upload, check_image, read_images, refusal_of

DRAIN_SECONDS = 2.0
"""How long the rest of a refused upload is read, so that its client gets to read the response."""
DRAIN_SHARE = 4
"""How many times the largest upload is read and thrown away for that at most."""
CLIENT_LEFT = 499
"""No standard status; nginx uses it in its logs."""
CONTENT_POLICY = "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src blob: data:"
"""What a browser may fetch for /docs: nothing from other servers."""
FAILED = "the service failed on this image"
DESCRIPTION = "Mask, gender and age of every face in a photograph. No image is stored, and none leaves the machine."

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Model(Generic[Image]):
    """What answers."""

    about: Mapping[str, str]
    """The fields of `ModelResult`."""
    decode: Callable[[bytes], Image]
    """The content of an image file to what `predict` takes; raises `UnusableImageError`."""
    predict: Callable[[Sequence[Image]], Sequence[Result]]
    """Images to one result each, in their order."""


class Service(Generic[Image]):
    """What the requests of one application share."""

    def __init__(self, load: Callable[[], Model[Image]], limits: Limits, token: str | None):
        self.limits = limits
        self.places = Places(limits)
        self.model = load()
        self.metrics = metrics = Metrics(lambda: self.model.about)
        self.batcher: Batcher[tuple[Model[Image], Image]] = Batcher(_predict, limits.batch, metrics.batches.observe)
        self._load = load
        self._loading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._decoders = [ThreadPoolExecutor(1, thread_name_prefix=f"decode-{size}") for size in ("usual", "large")]
        self._token = token

    def start(self) -> None:
        """Begin to predict, and to reload the model at SIGHUP."""
        self.batcher.start()
        if hasattr(signal, "SIGHUP"):  # Not on Windows.
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload_soon)

    def _reload_soon(self) -> None:
        task = asyncio.create_task(self.reload())
        self._tasks.add(task)  # The event loop itself does not keep it.
        task.add_done_callback(self._tasks.discard)

    async def reload(self) -> None:
        """Load the model again. Requests that have begun get the old one, and all do if the new one is broken."""
        async with self._loading:
            try:
                self.model = await asyncio.to_thread(self._load)
            except Exception as error:
                traceback = not isinstance(error, UserError)
                log.error("the model was not loaded again, the old one goes on: %s", error, exc_info=traceback)
            else:
                print("the model was loaded again: {name} {fingerprint}".format(**self.model.about), flush=True)

    def check_token(self, request: Request) -> None:
        """Raise `Refusal` unless the Authorization header holds the token; compares in constant time."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if self._token is None:
            return
        right = hmac.compare_digest(given.strip().encode(), self._token.encode())
        if scheme.lower() != "bearer" or not right:
            sentence = "this service requires a token: send it as Authorization: Bearer TOKEN"
            raise Refusal(HTTPStatus.UNAUTHORIZED, sentence, {"WWW-Authenticate": "Bearer"})

    async def respond(self, request: Request, several: bool) -> JSONResponse:
        """Return the response to an upload of any kind; count and time it."""
        model = self.model
        with self.metrics.seconds.time(), self.metrics.in_progress.track_inprogress():
            try:
                self.check_token(request)
                with self.places.of_address(request.client.host if request.client else ""):
                    uploads = await self._receive(request, several)
                    with self.places.of_images(len(uploads)):
                        if several:
                            results = await asyncio.gather(
                                *(self._result(model, upload, number) for number, upload in enumerate(uploads, 1))
                            )
                        else:
                            results = [await self._predict(model, uploads[0])]
                request.state.log.update(images=len(results), faces=sum(len(result["faces"]) for result in results))
                response = JSONResponse({"model": model.about, "images": results} if several else results[0])
            except Refusal as refusal:
                response = await self.refuse(request, refusal)
            except ClientDisconnect:
                response = JSONResponse(None, CLIENT_LEFT)  # Only for the metrics.
            except Exception:
                log.exception("prediction failed")
                failure = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, FAILED)
                response = await self.refuse(request, failure)
        self.metrics.requests.labels(response.status_code).inc()
        return response

    async def _result(self, model: Model[Image], upload: Upload, number: int) -> Result:
        """Return the result of one image of several; what would refuse it alone becomes its problem."""
        name, status = upload.name or f"image {number}", HTTPStatus.OK
        try:
            result = {**await self._predict(model, upload), "source": name}
        except Refusal as refusal:
            status, result = refusal.status, Photograph(name, 0, 0, (), refusal.sentence).to_dict()
        except Exception:
            log.exception("prediction failed")
            status, result = HTTPStatus.INTERNAL_SERVER_ERROR, Photograph(name, 0, 0, (), FAILED).to_dict()
        del result["model"]  # The same for all.
        return {**result, "status": status}

    async def _predict(self, model: Model[Image], upload: Upload) -> Result:
        if isinstance(upload.content, Refusal):
            raise upload.content
        large = await asyncio.to_thread(check_image, upload.content, self.limits)
        with self.places.of_large() if large else nullcontext():
            try:
                async with asyncio.timeout(self.limits.seconds):
                    decoder = self._decoders[large]
                    image = await asyncio.get_running_loop().run_in_executor(decoder, model.decode, upload.content)
                    result = await self.batcher.predict((model, image))
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

    async def _receive(self, request: Request, several: bool) -> list[Upload]:
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await read_images(request.stream(), request.headers, self.places, self.limits, several)
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


def _predict(images: Sequence[tuple[Model[Image], Image]]) -> list[Result]:
    """Predict each image by the model with which its request began."""
    results: list[Result] = []
    for model, group in groupby(images, key=lambda pair: pair[0]):
        results += model.predict([image for _, image in group])
    return results


def create_app(
    load: Callable[[], Model[Image]],
    limits: Limits | None = None,
    token: str | None = None,
    cors: Sequence[str] = (),
    access_log: bool = False,
) -> FastAPI:
    """Return the application; it calls `load` now, and again at SIGHUP.

    `Model.decode` runs in two threads, one of them for large images, and `Model.predict` in a third, one batch after
    the other. With a token, predictions and metrics require it; health and the description do not. Pages of the origins
    `cors` may send requests. `access_log` prints a line of JSON for every request.
    """
    service = Service(load, limits or Limits(), token)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
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
    if cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=cors,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", REQUEST_ID],
            expose_headers=["Retry-After", REQUEST_ID],
        )
    app.add_middleware(RequestLog, lines=access_log)
    app.add_exception_handler(Refusal, service.refuse)
    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _other_method)
    _add_routes(app, service)
    components = app.openapi()["components"]
    components["securitySchemes"] = SECURITY_SCHEMES
    components["schemas"].update(body_schemas())
    for route in app.routes:  # After the description, because HEAD is nothing that clients would be generated for.
        if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")
    return app


def _other_method(request: Request, error: Exception) -> Response:
    """Answer OPTIONS with the methods of a path; refuse all other methods that it does not have."""
    assert isinstance(error, HTTPException)
    if request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=error.headers)
    return JSONResponse(
        {"detail": f"{request.url.path} does not take {request.method}"}, error.status_code, error.headers
    )


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post(
        "/faces",
        summary="Predict every face in an image",
        response_model=PhotographResult,
        responses=REFUSALS,
        openapi_extra={"requestBody": ONE_IMAGE, "security": SECURITY},
    )
    async def faces(request: Request) -> JSONResponse:
        """Send one image, as a form or as the body; get mask, gender and age of its faces. No face is no error."""
        return await service.respond(request, several=False)

    @app.post(
        "/v1/faces",
        summary="Predict every face in one or several images",
        response_model=ImagesResult,
        responses=REFUSALS,
        openapi_extra={"requestBody": SEVERAL_IMAGES, "security": SECURITY},
    )
    async def faces_v1(request: Request) -> JSONResponse:
        """Send images as a form, as JSON (ImagesBody), or one as the body; a broken one does not stop the others."""
        return await service.respond(request, several=True)

    @app.get("/health", summary="Whether the service runs", include_in_schema=False)
    @app.get("/health/live", summary="Whether the service runs")
    async def live() -> dict[str, str]:
        return {"status": "ok", "version": app.version}

    @app.get(
        "/health/ready",
        summary="Whether the service takes further images",
        response_model=ModelResult,
        responses={503: REFUSALS[503]},
    )
    async def ready() -> Mapping[str, str]:
        """Return the model that answers; 503 while no further image would be accepted."""
        if service.places.full:
            raise come_again("too many requests at once", 1)
        return service.model.about

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
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = render("service_docs.html", api=app.openapi())
        return HTMLResponse(page, headers={"Content-Security-Policy": CONTENT_POLICY})
