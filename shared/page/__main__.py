"""Open a page to try the specialists: drop a photograph, or use the camera.

    python -m shared.page --model outputs

Everything stays on this machine: the page loads no font or script from other servers and sends no statistics.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.commands import run
from shared.files import READY_MADE
from shared.labels import INCORRECT, NORMAL, WORN
from shared.messages import UserError

STOP_SECONDS = 5
CONNECTIONS = 256

SITTERS = ((67, True, 3, NORMAL), (24, False, 5, WORN[0]), (41, True, 8, INCORRECT), (52, False, 2, NORMAL))
"""Age in years, whether female, seed, and image kind of each drawn example."""


@dataclass(frozen=True)
class Options:
    """Open a page to try the specialists on photographs."""

    model: Path | None = None
    """A bundle, or a folder that holds mask/, gender/ and age/ with trained runs. The ready-made model if left out."""
    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 lets other machines see the page."""
    port: int = 7860
    """The port to listen at; 0 takes a free one."""
    examples: bool = True
    """Offer drawn faces as examples; drawing them takes some seconds at the start."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UserError(f"--port {self.port}: ports are 0 to 65535")


def main(options: Options) -> None:
    """Serve the page until Ctrl-C; raises `UserError` if the model or the address is not available."""
    with tempfile.TemporaryDirectory(prefix="face18-page-") as folder:
        uploads, examples = Path(folder, "uploads"), Path(folder, "examples")
        uploads.mkdir()
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # Gradio reads it when it is imported.
        tempfile.tempdir = str(uploads)  # For uploads that are not complete yet.
        try:
            from shared.page.blocks import create_app
            from shared.page.events import Page
            from shared.page.retention import TemporaryStore
            from shared.serving.server import address_of, bind, serve
        except ModuleNotFoundError as error:
            raise UserError(f"{error.name} is not installed: pip install 'face18[page]'") from None
        from shared.predictor import Predictor

        with bind(options.host, options.port) as listener:  # Before the model is read, which takes seconds.
            predictor = Predictor.load(options.model or READY_MADE)
            page = Page(predictor, write_examples(examples) if options.examples else [], TemporaryStore())
            app = create_app(page, uploads)
            listener.listen()  # The next line promises that the page answers.
            print(f"the page is at {address_of(listener)}", flush=True)
            serve(app, listener, STOP_SECONDS, CONNECTIONS)
    print("stopped")


def write_examples(folder: Path) -> list[Path]:
    """Draw a group of four faces and three portraits, so that no real person is shown; return their JPEG files."""
    from shared.portraits import draw_person
    from shared.sample_data import encode

    portraits = []
    for age, female, seed, kind in SITTERS:
        person = draw_person(age, female, np.random.SeedSequence(seed))
        portraits.append(next(portrait.pixels for portrait in person if portrait.kind == kind))
    group = np.concatenate([np.concatenate(row, axis=1) for row in (portraits[:2], portraits[2:])])
    folder.mkdir()
    files = [folder / f"drawn-{number}.jpg" for number in range(1, 5)]
    for file, pixels in zip(files, (group, *portraits[:3]), strict=True):
        file.write_bytes(encode(pixels))
    return files


if __name__ == "__main__":
    run(main, Options())
