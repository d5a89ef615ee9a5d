"""Faults in a loop, for as long as one likes: what was injected, what was survived, what was lost.

    make soak                                             an hour
    PYTHONPATH=tests python tests/faults/soak.py --minutes 5 --only "Ctrl-C, train"

An injection passes only where the next run of the command finishes and leaves what a run leaves that nothing disturbed.
"""

import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from ground import Ground, prepare
from injections import INJECTIONS

from shared.commands import run
from shared.files import replacing
from shared.messages import UserError


@dataclass(frozen=True)
class Options:
    """Inject faults of all kinds in turn, and count what came of them."""

    minutes: float = 60.0
    """For so long; the round that is under way then is finished."""
    seed: int = 0
    """Of everything that is drawn at random."""
    only: str = ""
    """Inject only what begins so."""
    out: Path = Path("outputs/soak.csv")
    """The table, written after every injection; what was lost is told in a .log beside it."""

    def __post_init__(self) -> None:
        if not self.chosen():
            raise UserError(f"--only {self.only}: there is {', '.join(INJECTIONS)}")

    def chosen(self) -> list[str]:
        """The names of the injections that are wanted."""
        return [name for name in INJECTIONS if name.startswith(self.only)]


def main(options: Options) -> None:
    # A shell that starts this in the background has it ignore Ctrl-C, and with it every command that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    warnings.simplefilter("error")
    random, log = np.random.default_rng(options.seed), options.out.with_suffix(".log")
    counts = pd.DataFrame(0, index=options.chosen(), columns=["injected", "survived", "lost", "seconds"])
    log.parent.mkdir(parents=True, exist_ok=True)
    # What decoders grumble belongs to no one; it must not bury the table.
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stderr.fileno())
    with tempfile.TemporaryDirectory() as folder:
        ground = prepare(Path(folder))
        print(f"undisturbed: {', '.join(f'{name} {took:.1f} s' for name, took in ground.seconds.items())}", flush=True)
        started = time.monotonic()
        while time.monotonic() - started < 60 * options.minutes:
            for name in random.permutation(options.chosen()):
                inject(str(name), ground, random, counts)
                with replacing(options.out) as temporary:
                    counts.to_csv(temporary, index_label="fault")
    total = counts.sum().rename("all")
    print(pd.concat([counts, total.to_frame().T]).to_string())
    print(f"{(time.monotonic() - started) / 60:.0f} minutes, seed {options.seed}; {options.out}, {log}")
    if counts["lost"].sum():
        raise UserError(f"{counts['lost'].sum()} lost: {log} tells what")


def inject(name: str, ground: Ground, random: np.random.Generator, counts: pd.DataFrame) -> None:
    """Inject once, in a folder of its own, and count."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            injected = INJECTIONS[name](ground, Path(folder), random)
            counts.loc[name, ["injected", "survived"]] += injected
        except Exception:
            print(f"--- {name}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            counts.loc[name, ["injected", "lost"]] += 1
    counts.loc[name, "seconds"] += round(time.monotonic() - began)


if __name__ == "__main__":
    run(main, Options())
