"""A page to try the specialists: drop a photograph, or use the camera.

    python -m shared.page --model outputs

Everything stays on this machine: no font, script or statistic comes from or goes to another.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from shared.commands import run
from shared.messages import UserError


@dataclass(frozen=True)
class Options:
    """Open a page to try the specialists on photographs."""

    model: Path = Path("outputs")
    """A bundle, or the folder with the runs of the three specialists."""
    host: str = "127.0.0.1"
    """The address to listen at; 0.0.0.0 lets other machines see the page."""
    port: int = 7860
    """0 takes any that is free."""
    examples: bool = True
    """Draw some faces to begin with; takes some seconds at the start."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UserError(f"--port {self.port}: ports are 0 to 65535")


def main(options: Options) -> None:
    """Serve the page until Ctrl-C; raises `UserError` where the model or the address can't be had."""
    with tempfile.TemporaryDirectory(prefix="face18-page-") as folder:
        # Before gradio is loaded. What visitors upload lies in a folder of its own, and goes with it.
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            from shared.showing.web import serve_page
        except ModuleNotFoundError as error:
            raise UserError(f"{error.name} is not installed: pip install 'face18[page]'") from None
        serve_page(options.model, options.host, options.port, Path(folder) if options.examples else None)
    print("stopped")


if __name__ == "__main__":
    run(main, Options())
