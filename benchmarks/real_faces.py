"""Crop photographs, train the three specialists, fuse, and score on persons never seen.

    python benchmarks/real_faces.py --data FOLDER

One fold of five held out, 112 px, six epochs: some twenty minutes on two cores. Stages already done are not run
again, so a stopped run goes on; --overwrite starts anew where options changed.
"""

from dataclasses import dataclass
from pathlib import Path

from stages import run_stage

from shared.commands import run
from shared.fusion.fusion import SPECIALISTS
from shared.messages import UserError
from shared.tracking import TABLE, read_runs


@dataclass(frozen=True)
class Options:
    """Run crop, three trainings, fusion and score, with the commands of a user."""

    data: Path = Path("data")
    """A competition folder with eval_solution.csv in it."""
    out: Path = Path("outputs/real_faces")
    """Folder of crops, runs and submission."""
    folds: int = 5
    """The persons are split into this many parts."""
    only_fold: int | None = 0
    """Train only this fold; None trains all."""
    epochs: int = 6
    """Passes over the training images."""
    size: int = 112
    """Input size of the networks, pixels."""
    overwrite: bool = False
    """Discard runs that were made with other options."""


def main(options: Options) -> None:
    truth = options.data / "eval_solution.csv"
    if not truth.is_file():
        raise UserError(f"{truth} is missing: this benchmark needs a data set whose eval truth is known (--data)")
    seconds = {name: run_stage(*command) for name, command in commands(options, truth).items()}
    print(f"\nOn persons never seen ({truth})\n\n{_table(options.out, seconds)}")


def _table(out: Path, seconds: dict[str, float]) -> str:
    """What the fusion put on record for the eval persons, and how long each stage took in this call."""
    scores = read_runs(out / TABLE).query("kind == 'fusion'").iloc[-1]["scores"]
    lines = [f"{'':<12}{'macro F1':>10}{'accuracy':>10}{'seconds':>10}"]
    for name, stage in [*((task, f"train {task}") for task in SPECIALISTS), ("18 classes", "fuse")]:
        prefix = "truth" if stage == "fuse" else f"truth_{name}"
        f1, right = scores[f"{prefix}_macro_f1"], scores[f"{prefix}_accuracy"]
        lines.append(f"{name:<12}{f1:>10.3f}{right:>10.3f}{seconds[stage]:>10.0f}")
    return "\n".join([*lines, f"{'crop':<12}{'':>20}{seconds['crop']:>10.0f}"])


def commands(options: Options, truth: Path) -> dict[str, list[object]]:
    """What comes after `python` in each stage, by its name."""
    crops = options.out / "crops"
    runs = {task: options.out / task for task in SPECIALISTS}
    effort = ["--folds", options.folds, "--only-fold", options.only_fold, "--epochs", options.epochs]
    shared_options = ["--data", options.data, "--crops", crops, *effort, "--size", options.size]
    if options.overwrite:
        shared_options.append("--overwrite")
    return {
        "crop": ["-m", "shared.crop_faces", "--data", options.data, "--out", crops],
        **{
            f"train {task}": ["-m", f"pipelines.{task}.train", *shared_options, "--outputs", folder]
            for task, folder in runs.items()
        },
        "fuse": [
            *("-m", "combine", "--data", options.data, "--out", options.out / "submission.csv", "--truth", truth),
            *(word for task, folder in runs.items() for word in (f"--{task}", folder)),
        ],
    }


if __name__ == "__main__":
    run(main, Options())
