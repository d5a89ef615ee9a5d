"""The application in several processes at one address, by uvicorn's supervisor."""

import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from shared.messages import UserError
from shared.serving.monitoring import METRICS_FOLDER
from shared.serving.server import bind, configure, signals_ignored_afterwards

START_SECONDS = 300
"""For the processes to load the model."""


def serve_processes(
    create_app: Callable[[], Any],
    count: int,
    listener: socket.socket,
    stop_seconds: float,
    connections: int,
    ready: Callable[[], None],
) -> None:
    """Run an application in several processes, as `serve` does; they are started again when they die.

    `create_app` is pickled, and called in every process; if it raises `UserError`, all end, and so does this function.
    `ready` is called when all answer. They share the metrics of prometheus_client, and all get this process' SIGHUP. In
    place of `listener` each has a socket of its own: of a common one, one process often accepts most connections.
    """
    host, port = listener.getsockname()[:2]
    listener.close()
    listeners = [bind(host, port, shared=True) for _ in range(count)]
    config = configure(partial(_create_or_exit, create_app), stop_seconds, connections, factory=True, workers=count)
    with tempfile.TemporaryDirectory(prefix="face18-metrics-") as folder, signals_ignored_afterwards():
        os.environ[METRICS_FOLDER] = folder
        processes = _Processes(config, listeners, ready)
        processes.run()
    if any(process.exitcode == STARTUP_FAILURE for process in processes.processes):
        raise UserError("the processes did not start, for the reason above")


def _create_or_exit(create_app: Callable[[], Any]) -> Any:
    try:
        return create_app()
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(STARTUP_FAILURE)  # Any other status would start the process again.


class _Processes(Multiprocess):
    """uvicorn's supervisor; at SIGHUP it passes the signal on instead of starting new processes."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], ready: Callable[[], None]):
        super().__init__(config, sockets)
        self._ready = ready

    def init_processes(self) -> None:
        for listener in self.sockets:
            process = Process(self.config, [listener])
            process.start()
            self.processes.append(process)
        if all(process.wait_until_ready(START_SECONDS, self.should_exit) for process in self.processes):
            self._ready()

    def keep_subprocess_alive(self) -> None:  # A new process listens on all sockets, also that of the one that died.
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)

    def handle_hup(self) -> None:
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGHUP)
