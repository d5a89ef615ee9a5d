"""One change at a time, on a training of seconds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_training import FLAGS, write_data

from pipelines.age.ablate import CHANGES
from pipelines.age.heads import specialist
from pipelines.age.options import DEFAULTS as AGE_DEFAULTS
from pipelines.age.options import AgeOptions
from pipelines.gender.ablate import CHANGES as GENDER_CHANGES
from pipelines.gender.options import DEFAULTS as GENDER_DEFAULTS
from pipelines.mask.ablate import CHANGES as MASK_CHANGES
from pipelines.mask.options import DEFAULTS as MASK_DEFAULTS
from shared.crops import open_crops
from shared.experiments import measure as asking
from shared.experiments.ablation import Line, ablate, draw
from shared.experiments.measure import Laboratory
from shared.experiments.options import AblateOptions, screening
from shared.experiments.variants import Change, baseline, plain_crops, varied
from shared.fusion.metrics import Interval
from shared.messages import UserError
from shared.tracking import read_runs
from shared.training.options import TrainOptions

LIST = ("loss=bands", "crop=centre", "tta=none", "average=2", "backbone=no_such_net")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The network is so small that threads would only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="module")
def few_draws() -> Iterator[None]:
    """The intervals have a test of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.experiments.measure.DRAWS", 20)
        yield


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> AblateOptions:
    """An ablation that has been run."""
    folder = tmp_path_factory.mktemp("ablation")
    write_data(folder)
    truth = pd.read_csv(folder / "data/eval_solution.csv")
    truth.assign(person=truth["age"]).to_csv(folder / "data/eval_solution.csv", index=False)
    train = AgeOptions.of(
        data=folder / "data",
        crops=folder / "crops",
        outputs=folder / "outputs/age-ablation",
        **FLAGS,  # type: ignore[arg-type]
    )
    options = AblateOptions(train, truth=folder / "data/eval_solution.csv")
    ablate(specialist, LIST, options)
    return options


def root(options: AblateOptions) -> Path:
    assert options.train.run.outputs is not None
    return options.train.run.outputs


def test_every_change_has_a_line_beside_the_baseline(measured: AblateOptions) -> None:
    table = pd.read_csv(root(measured) / "ablation.csv").set_index("change")
    assert [*table.index] == ["baseline", *LIST]
    told = table.drop(["baseline", "backbone=no_such_net"])
    assert (told["macro_f1_low"] <= told["macro_f1_difference"]).all()
    assert (told["macro_f1_difference"] <= told["macro_f1_high"]).all()
    held_out = told.drop("average=2")
    expected = table.loc["baseline", "macro_f1"] + held_out["macro_f1_difference"]
    assert held_out["macro_f1"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-5)


def test_a_change_that_cannot_be_trained_is_told_and_stops_no_other(measured: AblateOptions) -> None:
    table = pd.read_csv(root(measured) / "ablation.csv").set_index("change")
    assert "timm knows no such model" in table.loc["backbone=no_such_net", "remark"]


def test_crops_without_a_detector_say_that_nothing_was_drawn(measured: AblateOptions) -> None:
    table = pd.read_csv(root(measured) / "ablation.csv").set_index("change")
    assert table.loc["crop=centre", "remark"] == "nothing drawn; compare with drawn_masks=0"
    undrawn = replace(measured, train=measured.train.with_values(drawn_masks=0.0), change=("crop=centre",))
    start = baseline(undrawn.train)
    changed = varied(Change.of("crop=centre"), start)
    assert changed.options.sampling.drawn_masks == start.options.sampling.drawn_masks


def test_a_misspelt_change_is_told_before_anything_is_trained(measured: AblateOptions, tmp_path: Path) -> None:
    elsewhere = measured.train.with_values(outputs=tmp_path / "ablation")
    with pytest.raises(UserError, match="foo"):
        ablate(specialist, LIST, replace(measured, train=elsewhere, change=("loss=bands", "foo=1")))
    assert not (tmp_path / "ablation").exists()


def test_nothing_is_drawn_of_nothing_measured(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"of an earlier list")
    assert not draw(tmp_path / "a.png", "age", [Line("baseline", {}, {}, 1.0)])
    assert not (tmp_path / "a.png").exists()


def test_its_trainings_and_scores_are_on_record(measured: AblateOptions) -> None:
    rows = read_runs(root(measured).parent / "runs.csv")
    asked = [(row["tta"], row["average"]) for row in rows[rows["kind"] == "score"]["options"]]
    assert asked == [("none", None), ("flip", 1), ("flip", 2)]
    # Baseline (and its second fold for the average of two), bands, centre crop.
    assert len(rows[rows["kind"] == "fold"]) == 4


def test_a_score_that_a_kill_kept_from_the_record_is_written_by_the_next_command(measured: AblateOptions) -> None:
    table = root(measured).parent / "runs.csv"
    whole = table.read_text()
    rows = read_runs(table)
    lost = rows[rows["kind"] == "score"].iloc[-1]["id"]
    table.write_text("".join(line for line in whole.splitlines(keepends=True) if not line.startswith(lost)))
    for _ in range(2):
        ablate(specialist, LIST, measured)
        again = read_runs(table)
        assert len(again) == len(rows)
        assert again.iloc[-1]["scores"] == rows.set_index("id").loc[lost, "scores"]


def test_what_was_measured_is_not_trained_or_asked_again(
    measured: AblateOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (root(measured) / "ablation.csv").read_text().splitlines()
    rows = len(read_runs(root(measured).parent / "runs.csv"))
    monkeypatch.setattr("shared.training.run.FoldTraining", None)
    monkeypatch.setattr(asking, "answer", None)
    ablate(specialist, LIST[:-1], measured)
    assert (root(measured) / "ablation.csv").read_text().splitlines() == before[:-1]
    assert len(read_runs(root(measured).parent / "runs.csv")) == rows
    assert "| `loss=bands` |" in capsys.readouterr().out


def test_the_table_is_drawn(measured: AblateOptions) -> None:
    with Image.open(root(measured) / "ablation.png") as image:
        assert image.width > 800


def test_a_change_of_many_options_leaves_room_for_the_image(tmp_path: Path) -> None:
    # A plot without room would be a warning of matplotlib's, and warnings are errors here.
    many = " ".join(f"{name}=0.123" for name in ("lr", "weight_decay", "dropout", "mixup", "ema", "scheduler"))
    gain = {"macro_f1": Interval(0.1, 0.0, 0.2)}
    draw(tmp_path / "a.png", "age", [Line("lr=0.1", {}, gain, None), Line(many, {}, gain, None)])
    with Image.open(tmp_path / "a.png") as image:
        assert image.height > 300


def test_changes_of_the_command_line_take_the_place_of_the_list(measured: AblateOptions) -> None:
    ablate(specialist, LIST, replace(measured, change=("loss=bands",)))
    assert len(pd.read_csv(root(measured) / "ablation.csv")) == 2


def test_a_change_of_the_list_that_this_baseline_cannot_have_stops_no_other(measured: AblateOptions) -> None:
    ablate(specialist, ("average=5", "loss=bands"), measured)
    table = pd.read_csv(root(measured) / "ablation.csv").set_index("change")
    assert "average is 1 to 2" in table.loc["average=5", "remark"]
    assert table["macro_f1"].notna().tolist() == [True, False, True]


def test_label_fixes_are_measured_on_images_whose_labels_are_in_no_dispute(
    measured: AblateOptions, tmp_path: Path
) -> None:
    held_out = pd.read_csv(next(root(measured).glob("baseline-*/fold0/oof.csv")), dtype={"person": str})
    fixes = tmp_path / "fixes.csv"
    fixes.write_text(f"id,image,field,value\n{held_out['person'][0]},normal,mask,worn\n")
    ablate(specialist, LIST, replace(measured, change=(f"fixes={fixes}",)))
    row = pd.read_csv(root(measured) / "ablation.csv").iloc[1]
    assert row["macro_f1_low"] <= row["macro_f1_difference"] <= row["macro_f1_high"]
    assert row["remark"] == f"on the {len(held_out) - 1} images that both hold out under the same labels"


def test_crops_without_a_detector_are_made_of_the_eval_images_that_networks_answer_together(
    measured: AblateOptions,
) -> None:
    ablate(specialist, LIST, replace(measured, change=("crop=centre average=2",)))
    row = pd.read_csv(root(measured) / "ablation.csv").iloc[1]
    assert row["remark"] == "on eval, against 1 network alone; nothing drawn; compare with drawn_masks=0"
    assert row["macro_f1_low"] <= row["macro_f1_difference"] <= row["macro_f1_high"]


@pytest.mark.parametrize("missing", ["--truth", "eval"])
def test_what_eval_images_lack_is_told_before_anything_is_trained(
    measured: AblateOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    crops = tmp_path / "crops"
    copytree(measured.train.data.crops / "train", crops / "train")
    here = measured.train.with_values(outputs=tmp_path / "outputs", crops=crops)
    laboratory = Laboratory(
        specialist, tmp_path, tmp_path / "runs.csv", None if missing == "--truth" else measured.truth
    )
    monkeypatch.setattr("shared.experiments.measure.train", None)
    with pytest.raises(UserError, match=missing):
        laboratory.measure(varied(Change.of("average=2"), baseline(here)))


def test_all_folds_are_one_training_on_record(measured: AblateOptions, tmp_path: Path) -> None:
    here = measured.train.with_values(only_fold=None, outputs=tmp_path / "outputs/age-ablation")
    ablate(specialist, LIST, replace(measured, train=here, change=("tta=none",)))
    kinds = read_runs(tmp_path / "outputs/runs.csv")["kind"]
    assert [*kinds] == ["fold", "fold", "training", "score"]


@pytest.mark.parametrize(
    ("changes", "defaults"),
    [(CHANGES, AGE_DEFAULTS), (GENDER_CHANGES, GENDER_DEFAULTS), (MASK_CHANGES, MASK_DEFAULTS)],
)
def test_the_lists_that_come_with_the_tasks_can_be_measured(changes: tuple[str, ...], defaults: TrainOptions) -> None:
    start = baseline(screening(defaults))
    variants = [varied(Change.of(text), start) for text in changes]
    assert len({variant.name for variant in variants}) == len(changes) > 25
    assert not any(variant.same_as(start) for variant in variants)


def test_the_middle_of_a_image_is_that_of_the_competitions_baseline(tmp_path: Path) -> None:
    image = Image.new("RGB", (384, 512), (255, 0, 0))
    image.paste((0, 0, 255), (64, 96, 320, 416))
    image.save(tmp_path / "a.png")
    table = pd.DataFrame({"image": ["a"], "path": [str(tmp_path / "a.png")]})
    centre = plain_crops(table, tmp_path / "centre", "centre").read("a")
    assert centre.reshape(-1, 3).min(0)[2] > 200
    whole = plain_crops(table, tmp_path / "whole", "whole").read("a")
    assert whole[128, 10, 0] > 200
    assert whole[128, 128, 2] > 200
    assert open_crops(tmp_path / "centre").recipe != open_crops(tmp_path / "whole").recipe


def test_plain_crops_are_made_anew_of_images_drawn_anew(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": ["a"], "path": [str(tmp_path / "a.png")]})
    for colour in ((255, 0, 0), (0, 0, 255)):
        Image.new("RGB", (384, 512), colour).save(tmp_path / "a.png")
        crop = plain_crops(table, tmp_path / "whole", "whole").read("a")
        assert crop[128, 128].tolist() == pytest.approx(colour, abs=2)


def test_aligned_crops_are_not_taken_for_plain_ones(tmp_path: Path) -> None:
    Image.new("RGB", (384, 512), (255, 0, 0)).save(tmp_path / "a.png")
    table = pd.DataFrame({"image": ["a"], "path": [str(tmp_path / "a.png")]})
    plain = plain_crops(table, tmp_path / "whole", "whole")
    index = pd.read_csv(tmp_path / "whole/index.csv")
    index.assign(recipe="aligned").to_csv(tmp_path / "whole/index.csv", index=False)
    assert plain_crops(table, tmp_path / "whole", "whole").recipe == plain.recipe
