"""One page of a finished set of runs: how good, where not, and what was run.

    python -m shared.report                                 outputs/{mask,gender,age} -> outputs/report.html
    python -m shared.report --outputs outputs/demo

Everything is of persons that the networks had not seen, decided as combine.py would decide (cross-fitted). The page
holds images of faces: treat it like the data.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from shared.commands import run
from shared.fusion.predictions import Persons
from shared.messages import UserError, counted
from shared.reports.finished_runs import Finished, RunOptions, read_finished


@dataclass(frozen=True)
class Options(RunOptions):
    """Draw up a page about a finished set of runs: one HTML file that opens without a network."""

    persons: Persons = "average"
    """As in combine.py: average gender and age over a person's images where info.csv or folders tell persons."""

    def __post_init__(self) -> None:
        if self.page.suffix.lower() not in (".html", ".htm"):
            raise UserError(f"--out {self.page}: the name must end in .html")

    @property
    def page(self) -> Path:
        return self.out or self.outputs / "report.html"


def main(options: Options) -> None:
    started = time.perf_counter()
    finished = read_finished(options.runs(), options.data, options.crops, options.fixes, options.persons)
    write(options.page, finished)
    print(f"wrote {options.page} ({options.page.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - started:.0f} s)")


def write(path: Path, finished: Finished) -> None:
    """Write the page. Raises `UserError` without matplotlib, or where the disk refuses."""
    # Here, not above: --help need not wait for them.
    from shared.reports import runs as run_sections
    from shared.reports import scores as age_sections
    from shared.reports import scores as score_sections
    from shared.reports import scores as trust_sections
    from shared.reports.page_parts import write_page

    scores = score_sections.all_scores(finished)
    held_out = finished.held_out
    images, folds = len(held_out.persons), held_out.folds.nunique()
    lead = (
        f"{counted(images, 'image')} of {counted(held_out.persons.nunique(), 'person')}, "
        f"held out in {counted(folds, 'fold')}. {', '.join(map(str, _folders(finished)))}."
    )
    write_page(
        path,
        "face18: report",
        lead,
        [
            score_sections.overview(finished, scores),
            score_sections.confusion(scores),
            score_sections.classes(scores),
            score_sections.by_mask_state(finished, scores),
            age_sections.age(finished),
            age_sections.thresholds(finished),
            trust_sections.reliability(finished),
            trust_sections.mistakes(finished),
            run_sections.learning_curves(finished),
            run_sections.what_was_run(finished),
        ],
    )


def _folders(finished: Finished) -> list[Path]:
    return [folder for folders in finished.runs.values() for folder in folders]


if __name__ == "__main__":
    run(main, Options())
