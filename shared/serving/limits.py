"""How much of anything one client, or all of them together, may ask for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Memory is bounded by them: at most `waiting` uploads of `upload_bytes` each, and one picture being decoded."""

    upload_bytes: int = 16 * 2**20
    """Of one picture file."""

    pixels: int = 50_000_000
    """Width x height that a file may claim; it is looked at before anything is decoded."""

    seconds: float = 30.0
    """For sending a picture, and again for being answered."""

    waiting: int = 48
    """Requests being received or answered; further ones are told to come again."""

    header_seconds: float = 10.0
    """For sending the head of a request; a silent connection is closed."""

    connections: int = 512
    """Open at the same time."""

    batch: int = 8
    """Pictures answered together."""

    batch_wait: float = 0.005
    """Seconds that a picture waits for company."""
