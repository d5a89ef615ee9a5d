"""A training leaves its rows in runs.csv by itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_competition import people, write_train
from tiny_crops import write_crops

from pipelines.age.specialist import AGE
from shared.manifest import load_training
from shared.tracking import Record, read_runs, record
from shared.training.options import TrainOptions
from shared.training.run import train


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The network is so small that threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def quick_options(tmp_path: Path) -> TrainOptions:
    """A training of some seconds, on 12 persons."""
    table = load_training(write_train(tmp_path / "data/train", people(12)))
    write_crops(table, tmp_path / "crops/train")
    return TrainOptions.of(
        data=tmp_path / "data",
        crops=tmp_path / "crops",
        outputs=tmp_path / "outputs/age",
        folds=2,
        epochs=1,
        size=32,
        batch_size=8,
        backbone="test_efficientnet",
        pretrained=False,
        device="cpu",
        workers=0,
        seed=3,
    )


def told(options: TrainOptions) -> list[tuple[str, str]]:
    """Kind and fold of the rows so far."""
    rows = read_runs(options.run.outputs.parent / "runs.csv")
    return [*zip(rows["kind"], rows["fold"], strict=True)]


def test_each_fold_and_each_training_leave_a_row_and_finished_ones_no_second(tmp_path: Path) -> None:
    options = quick_options(tmp_path)
    train(AGE, options.with_values(only_fold=1))
    train(AGE, options)
    train(AGE, options)
    rows = read_runs(tmp_path / "outputs/runs.csv")
    assert [*zip(rows["kind"], rows["fold"], strict=True)] == [
        ("fold", "1"),
        ("training", ""),
        ("fold", "0"),
        ("training", ""),
    ]
    last = rows.iloc[-1]
    report = json.loads((tmp_path / "outputs/age/run.json").read_text())
    assert last["scores"]["macro_f1"] == pytest.approx(report["scores"]["held out"]["macro_f1"], rel=1e-5)
    assert last["scores"]["images"] == 12 * 7
    assert (last["data"], last["recipe"], last["seed"]) == (report["data"], report["recipe"], "3")
    assert last["options"]["backbone"] == "test_efficientnet"
    assert float(last["seconds"]) == pytest.approx(sum(report["seconds"].values()), abs=0.1)


@pytest.mark.parametrize("lost", [("fold", 0), ("training", None)])
def test_the_row_of_a_run_that_was_killed_just_before_it_is_added_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: tuple[str, int | None]
) -> None:
    options = quick_options(tmp_path)

    def deadly(entry: Record, *_: object) -> None:
        if (entry.kind, entry.fold) == lost:
            raise KeyboardInterrupt
        record(entry)

    with monkeypatch.context() as patch:
        patch.setattr("shared.training.run.record", deadly)
        with pytest.raises(KeyboardInterrupt):
            train(AGE, options)
    for _ in range(2):
        train(AGE, options)
        assert sorted(told(options)) == [("fold", "0"), ("fold", "1"), ("training", "")]
    late = read_runs(tmp_path / "outputs/runs.csv").set_index(["kind", "fold"])["memory_mib"]
    assert [*late.index[late == ""]] == [(lost[0], "" if lost[1] is None else str(lost[1]))]


def test_a_row_tells_what_was_left_to_the_specialist(tmp_path: Path) -> None:
    options = quick_options(tmp_path)
    train(AGE, options.with_values(only_fold=0, lr=0.002))
    told = read_runs(tmp_path / "outputs/runs.csv").iloc[-1]["options"]
    assert told["window"] == [AGE.window.side, AGE.window.centre_x, AGE.window.centre_y]
    assert told["fold_lr"] == 0.002
