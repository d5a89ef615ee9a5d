"""What combine.py makes of held-out persons, and of persons that info.csv names."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from synthetic_predictions import held_out_predictions
from tiny_competition import write_csv
from tiny_runs import write_runs

from combine import Options, main
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import write_predictions
from shared.messages import UserError
from shared.tracking import read_runs


@pytest.fixture
def unsure(competition: Path, tmp_path: Path) -> Options:
    """Options for runs that are often wrong, so that it matters how is decided."""
    return _options(competition, write_runs(competition, tmp_path / "outputs", doubt=0.95))


@pytest.fixture
def biased(tmp_path: Path) -> Options:
    """Runs that take the old for younger; the images to answer are those of other persons, named in info.csv."""
    held_out, asked = (held_out_predictions(120, seed, doubt=0.3, years_off=6) for seed in range(2))
    data, outputs = tmp_path / "data", tmp_path / "outputs"
    for task in SPECIALISTS:
        known = pd.DataFrame({"person": held_out.persons, "fold": held_out.folds, "truth": held_out.truth[task]})
        write_predictions(outputs / task / "oof.csv", known.join(held_out.predictions[task]))
        write_predictions(outputs / task / "eval.csv", asked.predictions[task])
    rows = [{"ImageID": image, "ans": 0, "person": person} for image, person in asked.persons.items()]
    write_csv(data / "eval/info.csv", ("ImageID", "ans", "person"), rows)
    right = 6 * asked.truth["mask"] + 3 * asked.truth["gender"] + asked.truth["age"]
    pd.DataFrame({"ImageID": asked.persons.index, "ans": right}).to_csv(data / "eval_solution.csv", index=False)
    return _options(data, outputs)


def _options(data: Path, outputs: Path) -> Options:
    mask, gender, age = ((outputs / task,) for task in SPECIALISTS)
    return Options(outputs.parent / "submission.csv", data, mask, gender, age)


def right_share(options: Options) -> float:
    truth = pd.read_csv(options.data / "eval_solution.csv")["ans"]
    return float((pd.read_csv(options.out)["ans"] == truth).mean())


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"decide": "f1", "thresholds": "tuned"},
        {"decide": "argmax", "thresholds": "tuned", "calibrate": True},
    ],
)
def test_the_truth_of_eval_changes_nothing_in_the_submission(biased: Options, asked: dict[str, Any]) -> None:
    biased = replace(biased, **asked)
    main(biased)
    before = biased.out.read_bytes()
    solution = biased.data / "eval_solution.csv"
    main(replace(biased, truth=solution))
    assert biased.out.read_bytes() == before
    table = pd.read_csv(solution)
    table.assign(ans=(table["ans"] + 7) % 18, age=99).to_csv(solution, index=False)
    main(replace(biased, truth=solution))
    assert biased.out.read_bytes() == before


def test_what_is_learnt_on_held_out_persons_helps_others(biased: Options, capsys: pytest.CaptureFixture[str]) -> None:
    main(replace(biased, persons="ignore"))
    tuned = right_share(biased)
    told = capsys.readouterr().out
    main(replace(biased, persons="ignore", decide="argmax", thresholds="fixed", calibrate=False))
    assert tuned > right_share(biased)
    assert "tuned thresholds, calibrated (the simplest rule, or one that is clearly better), fitted on 120" in told
    assert "(not done: --persons ignore)" in told


def test_persons_named_in_info_csv_are_averaged(biased: Options, capsys: pytest.CaptureFixture[str]) -> None:
    main(biased)
    averaged = right_share(biased)
    assert "Gender and age averaged over a person's images, by argmax: +0." in capsys.readouterr().out
    answers = pd.read_csv(biased.out)
    people = answers["ans"] % 6
    # The images of a person differ in nothing but the mask, unless f1 weighs classes with a mask otherwise.
    answers_of_each = people.groupby(answers["ImageID"].str.split("/").str[0]).nunique()
    assert (answers_of_each == 1).mean() > 0.95
    main(replace(biased, persons="ignore"))
    assert averaged > right_share(biased) + 0.1


@pytest.mark.parametrize(
    ("flag", "change"), [("--decide f1", {"decide": "f1"}), ("--thresholds tuned", {"thresholds": "tuned"})]
)
def test_what_is_learnt_on_held_out_persons_cannot_be_had_without_them(
    unsure: Options, flag: str, change: dict[str, str]
) -> None:
    (unsure.age[0] / "oof.csv").unlink()
    with pytest.raises(UserError, match=f"{flag} is learned on held-out persons, and .*age/oof.csv is missing"):
        main(replace(unsure, **change))  # type: ignore[arg-type]
    assert not unsure.out.exists()
    main(unsure)
    assert unsure.out.exists()


def test_a_fusion_leaves_a_row_beside_the_runs(biased: Options, capsys: pytest.CaptureFixture[str]) -> None:
    main(replace(biased, truth=biased.data / "eval_solution.csv"))
    rows = read_runs(biased.mask[0].parent / "runs.csv")
    assert len(rows) == 1
    row = rows.iloc[0]
    assert (row["kind"], row["task"], row["run"]) == ("fusion", "together", str(biased.out))
    assert row["options"]["decide"] == "auto"
    told = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("together ")]
    assert [f"{row['scores'][name]:.3f}" for name in ("macro_f1", "truth_macro_f1")] == [line[2] for line in told]
    assert {"mask_macro_f1", "truth_age_accuracy"} <= row["scores"].keys()


def write_folds(run: Path, doubt: float) -> None:
    """Split eval.csv into two folds that are unlike, of which it is the mean."""
    table = pd.read_csv(run / "eval.csv", index_col="image")
    for fold, sign in enumerate((1, -1)):
        shifted = table.assign(male=table["male"] + sign * doubt * table["male"] * table["female"])
        write_predictions(run / f"fold{fold}" / "eval.csv", shifted.assign(female=1 - shifted["male"]))


def test_folds_that_are_not_those_of_the_mean_are_refused(biased: Options) -> None:
    write_folds(biased.gender[0], 0.9)
    (biased.gender[0] / "fold1" / "eval.csv").unlink()
    with pytest.raises(UserError, match=r"eval\.csv is not the mean of the 1 file fold\*/eval\.csv"):
        main(biased)
