"""One change at a time, on a training of seconds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tiny_training import FLAGS, write_data

from pipelines.age.options import AgeOptions
from pipelines.age.specialist import specialist
from shared.experiments.ablation import ablate
from shared.experiments.options import AblateOptions
from shared.messages import UserError
from shared.tracking import read_runs

LIST = ("loss=bands", "tta=none", "backbone=no_such_net")


@pytest.fixture(autouse=True, scope="module")
def few_draws() -> Iterator[None]:
    """The intervals have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.experiments.measure.compare.__defaults__", (False, 20))
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> AblateOptions:
    """An ablation that has been run."""
    folder = tmp_path_factory.mktemp("ablation")
    write_data(folder)
    outputs = folder / "outputs/age-ablation"
    train = AgeOptions.of(data=folder / "data", crops=folder / "crops", outputs=outputs, **FLAGS)
    options = AblateOptions(train)
    ablate(specialist, LIST, options)
    return options


def root(options: AblateOptions) -> Path:
    assert options.train.run.outputs is not None
    return options.train.run.outputs


def table_of(options: AblateOptions) -> pd.DataFrame:
    return pd.read_csv(root(options) / "ablation.csv").set_index("change")


def test_every_change_has_a_row_with_the_mean_of_its_seeds(measured: AblateOptions) -> None:
    table = table_of(measured)
    assert [*table.index] == ["baseline", *LIST]
    rows = table.drop("backbone=no_such_net")
    assert rows[["macro_f1_0", "macro_f1_1"]].mean(axis=1).to_numpy() == pytest.approx(rows["macro_f1"], abs=1e-5)
    changes = rows.drop("baseline")
    assert (changes["macro_f1_low"] <= changes["macro_f1_high"]).all()
    expected = table.loc["baseline", "macro_f1"] + changes["macro_f1_difference"]
    assert changes["macro_f1"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5)
    with Image.open(root(measured) / "ablation.png") as image:
        assert image.width > 800


def test_a_change_that_fails_says_why_and_the_next_goes_on(
    measured: AblateOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "timm knows no such model" in table_of(measured).loc["backbone=no_such_net", "remark"]
    from shared.experiments import measure

    train = measure.train

    def broken(specialist: object, options: AgeOptions, context: object) -> None:
        if options.model.dropout:
            raise ZeroDivisionError("out of\nluck")
        train(specialist, options, context)  # type: ignore[arg-type]

    monkeypatch.setattr(measure, "train", broken)
    ablate(specialist, (), replace(measured, change=("dropout=0.5", "loss=bands", "lr=0.001 dropout=0.0")))
    table = table_of(measured)
    assert table["remark"].fillna("").tolist() == ["", "ZeroDivisionError: out of luck", "", "that is the baseline"]
    assert table["macro_f1"].notna().tolist() == [True, False, True, False]
    assert "not measured: ZeroDivisionError" in capsys.readouterr().out


def test_a_misspelt_change_is_refused_before_anything_is_trained(measured: AblateOptions, tmp_path: Path) -> None:
    elsewhere = measured.train.with_values(outputs=tmp_path / "ablation")
    with pytest.raises(UserError, match="foo"):
        ablate(specialist, LIST, replace(measured, train=elsewhere, change=("loss=bands", "foo=1")))
    assert not (tmp_path / "ablation").exists()


def test_trainings_and_scores_are_on_record_and_nothing_is_done_twice(
    measured: AblateOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    ablate(specialist, LIST, measured)
    before = (root(measured) / "ablation.csv").read_text()
    rows = read_runs(root(measured).parent / "runs.csv")
    assert [row["tta"] for row in rows[rows["kind"] == "score"]["options"]] == ["none", "none"]
    # Two seeds each of the baseline and of bands.
    assert len(rows[rows["kind"] == "fold"]) == 4
    monkeypatch.setattr("shared.training.run.FoldTraining", None)
    monkeypatch.setattr("shared.experiments.measure.predict_crops", None)
    ablate(specialist, LIST[:-1], measured)
    assert before.startswith((root(measured) / "ablation.csv").read_text())
    assert len(read_runs(root(measured).parent / "runs.csv")) == len(rows)


def test_label_fixes_are_compared_on_images_with_the_same_labels(measured: AblateOptions, tmp_path: Path) -> None:
    held_out = pd.read_csv(next(root(measured).glob("baseline-*/fold0/oof.csv")), dtype={"person": str})
    fixes = tmp_path / "fixes.csv"
    fixes.write_text(f"id,image,field,value\n{held_out['person'][0]},normal,mask,worn\n")
    ablate(specialist, LIST, replace(measured, change=(f"fixes={fixes}",)))
    row = table_of(measured).iloc[1]
    assert row["macro_f1_low"] <= row["macro_f1_high"]
    assert row["remark"] == f"on the {len(held_out) - 1} images that both hold out under the same labels"
