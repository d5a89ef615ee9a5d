"""What a change says, and what comes of it."""

from pathlib import Path

import pytest

from pipelines.age.options import AgeOptions
from shared.experiments.variants import Change, Variant, baseline, crops_of, folds_of, varied
from shared.messages import UserError
from shared.training.options import TrainOptions

START = baseline(AgeOptions.of(only_fold=0))


def after(text: str, start: Variant = START) -> Variant:
    return varied(Change.of(text), start)


def test_a_change_alters_its_options_and_no_other() -> None:
    changed = after("loss=corn lr=0.002 balance=true window=0.8,0.5,0.5")
    assert changed.options == START.options.with_values(loss="corn", lr=0.002, balance=True, window=(0.8, 0.5, 0.5))
    assert after("pretrained=false").options.model.pretrained is False


def test_a_file_of_options_does_not_win_over_what_the_command_line_changed(tmp_path: Path) -> None:
    (tmp_path / "best.toml").write_text("lr = 0.5\n")
    start = baseline(AgeOptions.of(config=tmp_path / "best.toml", lr=0.1))
    assert after("dropout=0.3", start).options == start.options.with_values(dropout=0.3)


def test_how_networks_are_asked_changes_nothing_of_their_training() -> None:
    changed = after("tta=all")
    assert changed.options == START.options
    assert changed.tta == "all"
    assert not changed.same_as(START)


def test_another_name_for_the_baseline_is_known_as_such() -> None:
    assert after("tta=flip").same_as(START)
    assert after("dropout=0").same_as(START)


def test_crops_without_a_detector_are_seen_whole(tmp_path: Path) -> None:
    changed = after("crop=whole")
    assert changed.options.model.window == (1.0, 0.5, 0.5)
    assert crops_of(changed, tmp_path) == tmp_path / "crops/whole"
    assert crops_of(START, tmp_path) == START.options.data.crops
    assert after("crop=aligned").same_as(START)


def test_nothing_is_drawn_where_nobody_knows_of_a_face() -> None:
    assert START.options.sampling.drawn_masks > 0
    assert after("crop=whole").options.sampling.drawn_masks == 0
    assert after("crop=whole drawn_masks=0.5").options.sampling.drawn_masks == 0.5
    assert after("crop=aligned").options.sampling.drawn_masks == START.options.sampling.drawn_masks


def test_crops_without_a_detector_are_refused_beside_extra_folders() -> None:
    start = baseline(AgeOptions.of(only_fold=0, extra=(Path("further"),)))
    with pytest.raises(UserError, match="by a command without --extra"):
        after("crop=whole", start)
    with pytest.raises(UserError, match="by a command without --extra"):
        after("crop=whole extra=further")


@pytest.mark.parametrize("text", ["fixes=fixes.csv", "group_duplicates=pairs.csv"])
def test_other_labels_and_folds_are_another_training(text: str) -> None:
    changed = after(text)
    assert not changed.same_as(START)
    assert changed.trained != START.trained
    assert after(text, changed).same_as(changed)


def test_networks_that_answer_together_are_of_the_first_folds() -> None:
    assert folds_of(after("average=3")) == (0, 1, 2)
    assert folds_of(START) == (0,)
    assert folds_of(baseline(TrainOptions.of(folds=3))) == (0, 1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--change is empty"),
        ("lr", r"--change 'lr': 'lr' is not OPTION=VALUE"),
        ("los=corn", r"--change 'los=corn': there is no option los; near it: loss"),
        ("loss=best", "not of the kind"),
        ("tta=most", "not of the kind"),
        ("crop=round", "crop is one of aligned, whole, centre"),
        ("average=9", "average is 1 to 5"),
        ("folds=3", r"folds is that of the whole experiment: give it as --folds"),
        ("skip_bad=true", r"skip_bad is that of the whole experiment: give it as --skip-bad$"),
        ("crops=others", r"crops is that of .*: give it as --crops, or change crop=whole, crop=centre$"),
        ("dropout=2", "--dropout must be"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        after(text)
