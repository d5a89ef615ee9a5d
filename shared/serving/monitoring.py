"""What a running service reports of itself: counts and times for Prometheus, request ids and an access log."""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from uuid import uuid4

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import InfoMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable of prometheus_client for the folder in which several processes share their metrics."""
REQUEST_ID = "X-Request-ID"
_USABLE_ID = re.compile(r"[A-Za-z0-9_.:/+=-]{1,128}")


class Metrics(Collector):
    """Counts and times for Prometheus, never anything about an image. Each service has its own registry."""

    def __init__(self, about: Callable[[], Mapping[str, str]]) -> None:
        """`about` returns name and fingerprint of the model in use."""
        self._about = about
        self.registry = here = CollectorRegistry()
        self.requests = Counter("face18_requests", "Requests for a prediction, by status.", ["status"], registry=here)
        seconds = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
        self.seconds = Histogram("face18_request_seconds", "Time of a request.", buckets=seconds, registry=here)
        self.batches = Histogram(
            "face18_batch_images", "Images per batch.", buckets=(1, 2, 4, 8, 16, 32, 64), registry=here
        )
        self.in_progress = Gauge(
            "face18_requests_in_progress", "Requests in the service.", registry=here, multiprocess_mode="livesum"
        )
        self.faces = Counter("face18_faces", "Faces found.", registry=here)
        if METRICS_FOLDER in os.environ:  # Of all processes together; memory and CPU time of one of them say nothing.
            self.registry = CollectorRegistry()
            MultiProcessCollector(self.registry)
        else:
            ProcessCollector(registry=here)
            PlatformCollector(registry=here)
        self.registry.register(self)

    def collect(self) -> Iterator[InfoMetricFamily]:
        """Yield `face18_build_info`, with the model in use as labels."""
        model = {"model": self._about()["name"], "fingerprint": self._about()["fingerprint"]}
        labels = {"version": version("face18"), **model}
        yield InfoMetricFamily("face18_build", "Version, and the model that answers.", labels)

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self.registry)


class RequestLog:
    """ASGI middleware: every response has a request id, the client's own or a new one; optionally a line of JSON each.

    The line has what the application puts into `request.state.log` besides. It never says anything about an image.
    """

    def __init__(self, app: ASGIApp, lines: bool):
        self.app = app
        self.lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = Headers(scope=scope).get(REQUEST_ID, "")
        number = given if _USABLE_ID.fullmatch(given) else uuid4().hex
        started, status, log = time.perf_counter(), 0, dict[str, object]()
        scope.setdefault("state", {})["log"] = log

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = number
            await send(message)

        try:
            await self.app(scope, receive, respond)
        finally:
            if self.lines:
                line = {
                    "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                    "request_id": number,
                    "client": scope["client"][0] if scope.get("client") else None,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round(1000 * (time.perf_counter() - started), 1),
                    **log,
                }
                print(json.dumps(line), flush=True)
