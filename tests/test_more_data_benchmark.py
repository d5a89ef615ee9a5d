"""The benchmarks of further persons and drawn masks, without the trainings."""

import sys
from pathlib import Path

import pandas as pd
from tiny_competition import people, write_train

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import more_data
import numpy as np
import real_masks

from shared.commands import parse
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import write_predictions
from shared.labels import decode_class
from shared.tracking import read_runs
from shared.training.options import TrainOptions


def test_what_is_measured_differs_in_data_alone() -> None:
    options = more_data.Options()
    commands = {way: more_data._training(options, Path("crops"), "age", way) for way in options.ways}
    asked = {way: parse(TrainOptions(), [str(word) for word in command[2:]]) for way, command in commands.items()}
    assert [bool(asked[way].data.extra) for way in options.ways] == [False, False, True, True]
    assert [asked[way].sampling.drawn_masks > 0 for way in options.ways] == [False, True, False, True]
    assert len({(each.model.size, each.optimisation.lr, each.optimisation.seed) for each in asked.values()}) == 1


def test_perfect_answers_score_one_in_every_column(tmp_path: Path) -> None:
    images = [f"{number}.jpg" for number in range(18)]
    truth = pd.DataFrame({"truth": range(18), "age": 40.0}, index=pd.Index(images, name="image"))
    for column, (task, classes) in enumerate(SPECIALISTS.items()):
        right = np.array([decode_class(number)[column] for number in range(18)])
        answers = pd.DataFrame(np.eye(len(classes))[right], columns=list(classes))
        answers.insert(0, "image", images)
        write_predictions(tmp_path / "both" / task / "eval.csv", answers.assign(age=42.5) if task == "age" else answers)
    lines = more_data._table(more_data.Options(out=tmp_path, ways=("both",)), truth)
    assert lines[1].split() == ["both", "1.000", "1.000", "1.000", "2.50", "1.000"]
    [row] = [row for _, row in read_runs(tmp_path / "runs.csv").iterrows()]
    assert row["scores"] == {"mask": 1, "gender": 1, "age": 1, "mae_years": 2.5, "macro_f1": 1}


def test_faces_that_are_trained_on_are_not_asked_about(tmp_path: Path) -> None:
    bare = write_train(tmp_path / "faces", people(10), ("normal",))
    trained = real_masks._split(real_masks.Options(bare=bare, out=tmp_path / "out", persons=6))
    seen = set(pd.read_csv(trained / "train.csv", dtype=str)["path"])
    asked = set(pd.read_csv(tmp_path / "out/unseen/info.csv")["ImageID"].str.removesuffix("/normal.jpg"))
    assert len(seen) == 6
    assert len(asked) == 4
    assert not seen & asked


def test_a_line_tells_the_share_that_is_right() -> None:
    answers = pd.DataFrame([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.9, 0.1, 0.0], [0.6, 0.2, 0.2]])
    assert real_masks._line("some", answers, 0).split() == ["some", "4", "0.750", "3", "1", "0"]
