"""One page about a finished set of runs: how good it is, where it fails, and what was run.

    python -m shared.report                                 outputs/{mask,gender,age} -> outputs/report.html
    python -m shared.report --outputs outputs/demo

All figures are of held-out persons, decided as combine.py would decide (cross-fitted). The page shows faces: treat it
like the data.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from shared.commands import run
from shared.files import refuse_overwriting
from shared.fusion.predictions import Persons
from shared.messages import UserError, counted
from shared.reports.finished_runs import RunOptions, evaluate, read_finished_runs


@dataclass(frozen=True)
class Options(RunOptions):
    """Write a page about a finished set of runs: one HTML file that opens without a network."""

    persons: Persons = "average"
    """As in combine.py: average gender and age over a person's images if info.csv names persons."""

    def __post_init__(self) -> None:
        if self.page.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--out {self.page}: the name must end in .html")

    @property
    def page(self) -> Path:
        return self.out or self.outputs / "report.html"


def main(options: Options) -> None:
    # Imported here, so that --help does not wait for it.
    from shared.html_pages import write_page
    from shared.reports.scores import contents

    started = time.perf_counter()
    runs = read_finished_runs(options)
    refuse_overwriting({"--out": options.page}, runs.inputs)
    evaluation = evaluate(runs, options.persons)
    held_out = evaluation.held_out
    folders = ", ".join(str(folder) for folders in evaluation.runs.folders.values() for folder in folders)
    images, persons = counted(len(held_out.persons), "image"), counted(held_out.persons.nunique(), "person")
    write_page(
        options.page,
        "report.html",
        title="face18: report",
        lead=f"{images} of {persons}, held out in {counted(held_out.folds.nunique(), 'fold')}. {folders}.",
        **contents(evaluation),
    )
    print(f"wrote {options.page} ({options.page.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - started:.0f} s)")


if __name__ == "__main__":
    run(main, Options())
