import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tiny_runs import write_runs

from combine import Options, main
from shared.fusion.fusion import SPECIALISTS
from shared.messages import UserError

OLD = "ImageID,ans\nold.jpg,3\n"


@pytest.fixture
def options(competition: Path, tmp_path: Path) -> Options:
    """Options for runs that answer everything right, with an old submission in the way."""
    outputs = write_runs(competition, tmp_path / "outputs")
    (tmp_path / "submission.csv").write_text(OLD, encoding="utf-8")
    mask, gender, age = ((outputs / task,) for task in SPECIALISTS)
    return Options(tmp_path / "submission.csv", competition, mask, gender, age)


def edit(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_csv(path, dtype={"person": str})).to_csv(path, index=False)


def line(text: str, start: str) -> list[str]:
    """The words of the first line that starts so."""
    return next(line.split() for line in text.splitlines() if line.startswith(start))


def test_the_submission_answers_info_csv_in_its_order(options: Options) -> None:
    edit(options.mask[0] / "eval.csv", lambda table: table[::-1])
    main(options)
    solution = pd.read_csv(options.data / "eval_solution.csv")
    pd.testing.assert_frame_equal(pd.read_csv(options.out), solution[["ImageID", "ans"]])


def test_held_out_scores_are_told_when_there_are_oof_files(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    main(options)
    told = capsys.readouterr().out
    assert "Held out: 84 images of 12 persons" in told
    assert line(told, "mask ") == ["mask", "3", "1.000", "1.000", "84"]
    assert line(told, "together ") == ["together", "18", "1.000", "1.000", "84"]
    assert line(told, "0   worn, male, <30")[-4:] == ["1.000", "1.000", "1.000", "10"]
    assert told.endswith(f"wrote {options.out} (9 images)\n")


def test_without_oof_files_that_is_said_and_the_submission_written(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    (options.age[0] / "oof.csv").unlink()
    main(options)
    told = capsys.readouterr().out
    assert "No held-out score:" in told
    assert "age/oof.csv is missing" in told
    assert "specialist" not in told
    assert len(pd.read_csv(options.out)) == 9


def test_the_truth_gives_the_real_score_and_the_error_in_years(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = options.data / "eval_solution.csv"
    # One of the nine is held to be another class: accuracy is 8/9, and so is that of the mask specialist.
    edit(truth, lambda table: table.assign(ans=[6, *table["ans"][1:]]))
    main(replace(options, truth=truth))
    told = capsys.readouterr().out.split("Against ")[1]
    assert line(told, "mask ")[3:] == ["0.889", "9"]
    assert line(told, "gender ")[3:] == ["1.000", "9"]
    assert line(told, "together ")[3:] == ["0.889", "9"]
    assert "mean age error (MAE): 2.0 years" in told


def test_confusion_matrices_are_drawn_as_images(
    options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(replace(options, figures=tmp_path / "figures", truth=options.data / "eval_solution.csv"))
    drawn = sorted((tmp_path / "figures").iterdir())
    sets, scores = ("held-out", "truth"), ("age", "gender", "mask", "together")
    assert [path.name for path in drawn] == [f"{part}-{score}.png" for part in sets for score in scores]
    told = capsys.readouterr().out
    for path in drawn:
        assert f"drew {path}\n" in told
        with Image.open(path) as image:
            assert min(image.size) > 200


def _without(file: str) -> Callable[[Options], None]:
    return lambda options: (options.mask[0] / file).unlink()


def _changed(file: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Options], None]:
    return lambda options: edit(options.mask[0] / file, change)


def _info(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Options], None]:
    return lambda options: edit(options.data / "eval" / "info.csv", change)


FAULTS: dict[str, tuple[Callable[[Options], None], str]] = {
    "no predictions": (_without("eval.csv"), "mask/eval.csv is missing: python -m pipelines.mask.train"),
    "a wrong sum": (_changed("eval.csv", lambda table: table.assign(worn=0.5)), "do not sum to one: 9male.jpg"),
    "images lacking": (_changed("eval.csv", lambda table: table[2:]), "lacks 2 images of "),
    "images too many": (_info(lambda table: table[1:]), "has 1 image that "),
    "other images": (_info(lambda table: table.assign(ImageID="x" + table["ImageID"])), "has 9 images that"),
    "info without rows": (_info(lambda table: table[:0]), "info.csv is empty"),
    "held out otherwise": (
        _changed("oof.csv", lambda table: table.assign(fold=(table["fold"] + 1) % 3)),
        "disagree about the fold of 84 images",
    ),
}


@pytest.mark.parametrize(("spoil", "told"), FAULTS.values(), ids=FAULTS)
def test_after_an_error_the_old_submission_is_as_it_was(
    options: Options, spoil: Callable[[Options], None], told: str
) -> None:
    spoil(options)
    with pytest.raises(UserError) as caught:
        main(options)
    assert told in str(caught.value)
    assert options.out.read_text(encoding="utf-8") == OLD


TRUTHS: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "of fewer images": (lambda table: table[2:], "has 2 images that "),
    "of more images": (
        lambda table: pd.concat([table, table[:1].assign(ImageID="new.jpg")]),
        "lacks 1 image of ",
    ),
    "of no class": (lambda table: table.assign(ans=18), "ans '18' is no class of 0-17"),
    "of no age": (lambda table: table.assign(age="old"), "age 'old' is no number"),
    "with a duplicate": (lambda table: pd.concat([table, table[:1]]), "row 11 (9male.jpg)"),
    "without answers": (lambda table: table.drop(columns="ans"), "lacks the column ans"),
}


@pytest.mark.parametrize(("change", "told"), TRUTHS.values(), ids=TRUTHS)
def test_a_truth_that_cannot_be_scored_against_is_refused(
    options: Options, change: Callable[[pd.DataFrame], pd.DataFrame], told: str
) -> None:
    truth = options.data / "eval_solution.csv"
    edit(truth, change)
    with pytest.raises(UserError) as caught:
        main(replace(options, truth=truth))
    assert told in str(caught.value)
    assert options.out.read_text(encoding="utf-8") == OLD


def test_images_without_an_answer_can_be_left_out(options: Options) -> None:
    edit(options.mask[0] / "eval.csv", lambda table: table[2:])
    edit(options.age[0] / "eval.csv", lambda table: table[:-1])
    main(replace(options, skip_bad=True))
    expected = pd.read_csv(options.data / "eval_solution.csv")[["ImageID", "ans"]][2:-1]
    pd.testing.assert_frame_equal(pd.read_csv(options.out), expected.reset_index(drop=True))


def test_figures_of_nothing_are_refused(options: Options, tmp_path: Path) -> None:
    (options.age[0] / "oof.csv").unlink()
    with pytest.raises(UserError, match="--figures has nothing to draw"):
        main(replace(options, figures=tmp_path / "figures"))


@pytest.mark.parametrize(
    ("runs", "told"), [((), "needs at least one run folder"), ((Path("a"), Path("a")), "names a run folder twice")]
)
def test_a_specialist_has_one_run_or_more_and_each_counts_once(runs: tuple[Path, ...], told: str) -> None:
    with pytest.raises(UserError, match=f"--age {told}"):
        Options(age=runs)


def test_the_data_folder_is_the_one_that_the_runs_were_trained_on(options: Options, tmp_path: Path) -> None:
    def name(task: str, folder: Path) -> None:
        (options.runs(task)[0] / "run.json").write_text(json.dumps({"data_folder": str(folder)}), encoding="utf-8")

    name("age", options.data)
    main(replace(options, data=None))
    assert len(pd.read_csv(options.out)) == 9
    other = tmp_path / "other"
    other.mkdir()
    name("mask", other)
    with pytest.raises(UserError, match=r"trained on different folders \(.*: name one with --data"):
        main(replace(options, data=None))
    other.rmdir()
    main(replace(options, data=None))


@pytest.mark.parametrize("place", ["mask/eval.csv", "age/oof.csv", "info", "truth", "photograph", "linked"])
def test_nothing_that_is_read_is_overwritten(options: Options, tmp_path: Path, place: str) -> None:
    truth, images = options.data / "eval_solution.csv", options.data / "eval" / "images"
    places = {"info": options.data / "eval" / "info.csv", "truth": truth, "photograph": next(images.iterdir())}
    target = places.get(place, tmp_path / "outputs" / place)
    if place == "linked":
        target.symlink_to(truth)
    before = target.read_bytes()
    with pytest.raises(UserError, match=r"--out .* would overwrite its input"):
        main(replace(options, out=target, truth=truth))
    assert target.read_bytes() == before
