"""Commands run in a process that notes all traffic through sockets, its own and its children's."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Loaded by every Python process that finds it on its path, before anything else. Sockets within the machine (AF_UNIX:
# what processes of one command talk through) are let pass, and one that is opened and at most bound to loopback sends
# nothing: urllib3 does so when it is imported, to see whether there is IPv6. All else is noted, look-ups of names too.
WATCH = """
import os, socket, sys, traceback

def note(event, arguments):
    if not event.startswith("socket.") or event in ("socket.gethostname", "socket.__new__"):
        return
    if event == "socket.bind" and arguments[1][0] in ("127.0.0.1", "::1"):
        return
    if getattr(arguments[0], "family", None) != socket.AF_UNIX:
        with open(os.environ["SOCKETS_SEEN"], "a") as seen:
            seen.write(f"{event} {arguments[1:]}\\n{''.join(traceback.format_stack(limit=8))}\\n")

sys.addaudithook(note)
with open(os.environ["PROCESSES_SEEN"], "a") as seen:
    seen.write(f"{os.getpid()}\\n")
"""

# One process for all commands: starting one takes longer than most of them.
RUN = """
import runpy, shlex, sys

for command in sys.stdin.read().splitlines():
    words = shlex.split(command)
    module = words[0] == "-m"
    sys.argv = words[module:]
    (runpy.run_module if module else runpy.run_path)(sys.argv[0], run_name="__main__")
"""

QUIET = ("NO_ALBUMENTATIONS_UPDATE", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")
"""Not handed on: the commands must be quiet also where nobody asked for it."""


class Watched:
    """A folder that commands are run in, as people would type them there after `python`."""

    def __init__(self, folder: Path):
        self.folder, self._notes = folder, folder.with_name(f"{folder.name}-watched")
        for made in (folder, self._notes):
            made.mkdir(parents=True, exist_ok=True)
        for name in ("shared", "pipelines", "examples", "combine.py"):
            (folder / name).symlink_to(ROOT / name)
        (self._notes / "sitecustomize.py").write_text(WATCH, encoding="utf-8")

    def run(self, commands: Sequence[str]) -> str:
        """What they print; they have to end well."""
        sockets, processes = (str(self._notes / name) for name in ("sockets", "processes"))
        path = os.pathsep.join([str(self._notes), str(ROOT)])
        kept = {name: value for name, value in os.environ.items() if name not in QUIET}
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            input="\n".join(commands),
            env={**kept, "PYTHONPATH": path, "SOCKETS_SEEN": sockets, "PROCESSES_SEEN": processes},
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def sockets(self) -> str:
        """What was opened or looked up, and from where; empty where nothing was."""
        notes = self._notes / "sockets"
        return notes.read_text(encoding="utf-8") if notes.exists() else ""

    @property
    def processes(self) -> int:
        """How many were watched."""
        return len((self._notes / "processes").read_text(encoding="utf-8").split())
