"""What a change means."""

from pathlib import Path

import pytest

from pipelines.age.ablate import CHANGES
from pipelines.age.options import DEFAULTS, AgeOptions
from pipelines.gender.ablate import CHANGES as GENDER_CHANGES
from pipelines.mask.ablate import CHANGES as MASK_CHANGES
from shared.experiments.changes import baseline, changed
from shared.experiments.options import screening
from shared.messages import UserError
from shared.training.options import TrainOptions

START = baseline(AgeOptions.of(only_fold=0))


def test_a_change_alters_its_options_and_no_other() -> None:
    variant = changed(START, "loss=corn lr=0.002 balance=true window=0.8,0.5,0.5")
    assert variant.options == START.options.with_values(loss="corn", lr=0.002, balance=True, window=(0.8, 0.5, 0.5))
    assert changed(START, "backbone=resnet18 pretrained=false").options.model.pretrained is False


def test_a_config_file_does_not_overrule_what_the_command_line_changed(tmp_path: Path) -> None:
    (tmp_path / "best.toml").write_text("lr = 0.5\n")
    start = baseline(AgeOptions.of(config=tmp_path / "best.toml", lr=0.1))
    assert changed(start, "dropout=0.3").options == start.options.with_values(dropout=0.3)


def test_tta_reuses_the_training_of_the_baseline() -> None:
    variant = changed(START, "tta=all")
    assert variant.options == START.options
    assert variant.has_same_networks(START)
    assert variant.tta == "all"
    assert not variant.is_same(START)


def test_another_name_for_the_baseline_is_recognised() -> None:
    assert changed(START, "tta=flip").is_same(START)
    assert changed(START, "dropout=0").is_same(START)


@pytest.mark.parametrize("change", ["fixes=fixes.csv", "group_duplicates=pairs.csv", "extra=further"])
def test_other_data_labels_and_folds_are_another_training(change: str) -> None:
    assert not changed(START, change).has_same_networks(START)


def test_folds_share_a_run_folder_and_seeds_do_not(tmp_path: Path) -> None:
    all_folds = baseline(AgeOptions.of(only_fold=None))
    assert all_folds.run_folder(tmp_path) == START.run_folder(tmp_path)
    assert START.with_seed(1).run_folder(tmp_path) != START.run_folder(tmp_path)
    # A folder is found again whatever the change that made it was called.
    folder = changed(START, "lr=0.002").run_folder(tmp_path)
    folder.mkdir()
    assert changed(START, "lr=2e-3").run_folder(tmp_path) == folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("", "--change is empty"),
        ("lr", r"--change 'lr': 'lr' is not OPTION=VALUE"),
        ("los=corn", r"--change 'los=corn': there is no option los; similar: loss"),
        ("loss=best", "not of the kind"),
        ("tta=most", "not of the kind"),
        ("folds=3", r"folds is the same in the whole experiment: give it as --folds"),
        ("seed=1", r"seed is the same in the whole experiment: give it as --seeds"),
        ("dropout=2", "--dropout must be"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(change: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        changed(START, change)


@pytest.mark.parametrize(
    ("changes", "defaults"),
    [(CHANGES, DEFAULTS), (GENDER_CHANGES, TrainOptions()), (MASK_CHANGES, TrainOptions())],
)
def test_the_lists_of_the_tasks_are_changes_of_their_defaults(changes: tuple[str, ...], defaults: TrainOptions) -> None:
    start = baseline(screening(defaults))
    assert len(set(changes)) == len(changes) > 20
    assert not any(changed(start, change).is_same(start) for change in changes)
