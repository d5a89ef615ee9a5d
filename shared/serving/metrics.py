"""What the service tells Prometheus: counts and times, never anything about a picture."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
PICTURES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """A registry of its own for every service in the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "face18_requests", "Requests for an answer, by status.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "face18_request_seconds",
            "From the head of a request to its answer.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batches = Histogram(
            "face18_batch_pictures", "Pictures answered together.", buckets=PICTURES, registry=self.registry
        )
        self.waiting = Gauge(
            "face18_requests_in_progress", "Requests being received or answered.", registry=self.registry
        )
        self.faces = Counter("face18_faces", "Faces found.", registry=self.registry)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
