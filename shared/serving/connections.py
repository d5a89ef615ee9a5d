"""HTTP connections that are closed when nobody speaks: uvicorn's, with a limit on the time for a request's head."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient(seconds: float) -> type[H11Protocol]:
    """A protocol for `uvicorn.Config(http=...)`: the head of a request must be there within so many seconds.

    uvicorn waits for it for ever, and a client that opens connections and says nothing would use them up.
    """

    class Impatient(H11Protocol):
        _head: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_watching()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self.conn.their_state is not h11.IDLE:
                self._stop_watching()
            elif self._head is None:
                self._head = self.loop.call_later(seconds, self.transport.close)

        def _stop_watching(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

    return Impatient
