"""`combine.py` over folders of Parquet files, some images at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tiny_runs import write_runs

from combine import Options, main
from shared.fusion import predictions
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import EVAL, EVAL_PARTS
from shared.messages import UserError

OLD = "ImageID,ans\nold.jpg,3\n"


@pytest.fixture
def options(competition: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Options for runs of doubtful specialists with two folds; four images are read at a time."""
    monkeypatch.setattr(predictions, "BATCH", 4)
    outputs = write_runs(competition, tmp_path / "outputs", doubt=0.9)
    for task, classes in SPECIALISTS.items():
        table = pd.read_csv(outputs / task / EVAL)
        for fold, shift in enumerate((0.02, -0.02)):
            other = table.copy()
            other[[*classes[:2]]] += [shift, -shift]
            (outputs / task / f"fold{fold}").mkdir(exist_ok=True)
            other.to_csv(outputs / task / f"fold{fold}" / EVAL, index=False)
    (tmp_path / "submission.csv").write_text(OLD, encoding="utf-8")
    runs = ((outputs / task,) for task in SPECIALISTS)
    return Options(tmp_path / "submission.csv", competition, *runs, persons="ignore", decide="f1")


def to_parts(
    options: Options, size: int = 3, change: Callable[[pd.DataFrame], pd.DataFrame] = lambda table: table
) -> None:
    """Replace each eval.csv by a folder of files of `size` rows and more; `change` is made to that of gender."""
    for number, task in enumerate(SPECIALISTS):
        for file in [*options.runs(task)[0].rglob(EVAL)]:
            table = pd.read_csv(file)
            table = change(table) if task == "gender" else table
            folder = file.parent / EVAL_PARTS
            folder.mkdir()
            (folder / "_manifest.json").write_text("{}")
            step = size + number
            for part, start in enumerate(range(0, len(table), step)):
                table[start : start + step].to_parquet(folder / f"part-{part:03}.parquet", index=False)
            file.unlink()


def test_the_submission_is_the_one_that_is_made_in_memory(options: Options, capsys: pytest.CaptureFixture[str]) -> None:
    main(options)
    in_memory, report = options.out.read_text(), capsys.readouterr().out
    to_parts(options)
    main(replace(options, data=None))
    assert options.out.read_text() == in_memory
    assert capsys.readouterr().out == report
    assert len(in_memory.splitlines()) == 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table[::-1], "gender/eval.parquet and .*mask/eval.parquet hold different images, or in another"),
        (lambda table: table[:-1], "hold different images"),
        (lambda table: table.assign(male=[*table["male"][:-1], 7]), "1 of 1 images have probabilities that do not sum"),
        (lambda table: table.drop(columns="male"), "gender/eval.parquet lacks the columns male"),
        (lambda table: table.rename(columns={"image": "name"}), "gender/eval.parquet lacks the columns image"),
    ],
)
def test_unusable_parts_are_refused_and_the_old_submission_stays(
    options: Options, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    to_parts(options, change=change)
    with pytest.raises(UserError, match=message):
        main(options)
    assert options.out.read_text() == OLD


def test_a_run_without_parts_and_a_file_that_is_no_parquet_are_refused(options: Options) -> None:
    to_parts(options)
    part = next((options.age[0] / EVAL_PARTS).glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"age/eval.parquet is no folder of Parquet files"):
        main(options)
    (options.mask[0] / EVAL_PARTS).rename(options.mask[0] / "elsewhere")
    with pytest.raises(UserError, match=r"mask/eval.parquet is no folder of Parquet files"):
        main(options)


@pytest.mark.parametrize("change", [{"persons": "average"}, {"truth": Path("truth.csv")}, {"skip_bad": True}])
def test_what_needs_all_images_at_once_is_refused(options: Options, change: dict[str, object]) -> None:
    to_parts(options)
    with pytest.raises(UserError, match="pass --persons ignore, and leave out --truth and --skip-bad"):
        main(replace(options, **change))  # type: ignore[arg-type]
