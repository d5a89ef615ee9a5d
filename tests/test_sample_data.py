import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from shared import labels
from shared.messages import UserError
from shared.sample_data import Options, Sitting, _draw_all, main, plan_evaluation, plan_training


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """The smallest sample, drawn by two workers: six persons to train on and six to predict."""
    out = tmp_path_factory.mktemp("sample") / "six"
    options = Options(people=6, eval_people=6, out=out, workers=2)
    main(options)
    return options


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> list[Sitting]:
    """Nothing is drawn; the sittings that would have been are noted here, and their files made empty."""
    asked: list[Sitting] = []

    def note(sittings: list[Sitting], _workers: int) -> None:
        asked.extend(sittings)
        for file in (file for sitting in sittings for file in sitting.files.values()):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    monkeypatch.setattr("shared.sample_data._draw_all", note)
    return asked


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"id": str, "person": str})


def cells(sittings: list[Sitting]) -> set[tuple[bool, int]]:
    return {(sitting.female, labels.age_band(sitting.age)) for sitting in sittings}


def test_every_row_of_train_csv_has_its_seven_images(drawn: Options) -> None:
    table = read(drawn.out / "train" / "train.csv")
    assert list(table) == ["id", "gender", "race", "age", "path"]
    assert list(table.path) == [f"{row.id}_{row.gender}_{row.race}_{row.age}" for row in table.itertuples()]
    folders = {path.name: path for path in (drawn.out / "train" / "images").iterdir()}
    assert sorted(folders) == sorted(table.path)
    for folder in folders.values():
        assert sorted(path.stem for path in folder.iterdir()) == sorted(labels.IMAGE_KINDS)
        assert {path.suffix for path in folder.iterdir()} == {".jpg"}


def test_images_are_jpegs_of_384_by_512(drawn: Options) -> None:
    for path in drawn.out.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (384, 512))


def test_eval_images_have_opaque_names_and_no_answer(drawn: Options) -> None:
    table = read(drawn.out / "eval" / "info.csv")
    assert list(table) == ["ImageID", "ans"]
    assert (table.ans == 0).all()
    assert sorted(table.ImageID) == sorted(path.name for path in (drawn.out / "eval" / "images").iterdir())
    assert table.ImageID.str.fullmatch(r"[0-9a-f]{40}\.jpg").all()


def test_the_eval_truth_agrees_with_the_labels_of_each_person(drawn: Options) -> None:
    solution = read(drawn.out / "eval_solution.csv")
    assert list(solution) == ["ImageID", "ans", "person", "mask", "gender", "age"]
    assert list(solution.ImageID) == list(read(drawn.out / "eval" / "info.csv").ImageID)
    for row in solution.itertuples():
        band = 0 if row.age < 30 else 1 if row.age < 60 else 2
        assert row.ans == 6 * row.mask + 3 * (row.gender == "female") + band
    for _, masks in solution.groupby("person")["mask"]:
        assert sorted(masks) == [0, 0, 0, 0, 0, 1, 2]
    assert not set(solution.person) & set(read(drawn.out / "train" / "train.csv").id)


def test_the_shuffle_of_eval_images_parts_those_of_a_person(drawn: Options) -> None:
    persons = read(drawn.out / "eval_solution.csv").person
    assert (persons == persons.shift()).sum() < len(persons) / 2


@pytest.mark.parametrize("people", [6, 7, 20, 61])
def test_all_six_cells_are_filled_in_train_and_eval(people: int) -> None:
    options = Options(people=people, eval_people=people)
    for sittings in (plan_training(options), plan_evaluation(options)):
        assert len(sittings) == people
        assert len(cells(sittings)) == 6


@pytest.mark.parametrize(("people", "fewest"), [(6, 1), (20, 2), (60, 5), (300, 5)])
def test_no_cell_is_too_small_to_score(people: int, fewest: int) -> None:
    sittings = plan_training(Options(people=people))
    assert len(sittings) == people
    counts = Counter((sitting.female, labels.age_band(sitting.age)) for sitting in sittings)
    assert min(counts.values()) >= fewest


def test_all_ages_occur_and_bands_have_the_shares_of_the_competition() -> None:
    sittings = plan_training(Options(people=1000))
    ages = [sitting.age for sitting in sittings]
    assert set(ages) == set(range(18, 76))
    shares = np.bincount([labels.age_band(age) for age in ages]) / len(ages)
    np.testing.assert_allclose(shares, [0.47, 0.43, 0.10], atol=0.005)
    assert np.mean([sitting.female for sitting in sittings]) == pytest.approx(0.61, abs=0.005)


def test_persons_of_train_and_eval_are_drawn_from_different_seeds() -> None:
    options = Options()
    seeds = [sitting.seed for sitting in plan_training(options) + plan_evaluation(options)]
    assert len(set(seeds)) == options.people + options.eval_people


def test_one_worker_draws_the_same_files_as_two(drawn: Options, tmp_path: Path) -> None:
    wanted = next(sitting for sitting in plan_training(drawn) if sitting.female)
    alone = replace(drawn, out=tmp_path / "alone", workers=1)
    _draw_all([sitting for sitting in plan_training(alone) if sitting.person == wanted.person], workers=1)
    for kind, file in wanted.files.items():
        same = alone.out / file.relative_to(drawn.out)
        assert same.read_bytes() == file.read_bytes(), kind


def test_top_coding_changes_the_written_ages_and_nothing_else(tmp_path: Path, undrawn: list[Sitting]) -> None:
    plain = Options(people=30, eval_people=6, out=tmp_path / "plain")
    coded = replace(plain, out=tmp_path / "coded", top_coded=True)
    main(plain)
    main(coded)
    before, after = (read(options.out / "train" / "train.csv") for options in (plain, coded))
    assert before.age.max() > 60
    assert list(after.age) == list(before.age.clip(upper=60))
    assert list(after.path) == [f"{row.id}_{row.gender}_{row.race}_{row.age}" for row in after.itertuples()]
    solutions = [read(options.out / "eval_solution.csv") for options in (plain, coded)]
    pd.testing.assert_frame_equal(*solutions)
    ages = [sitting.age for sitting in undrawn]
    assert ages[:36] == ages[36:], "the faces show their age all the same"


def test_a_finished_sample_is_left_alone(
    drawn: Options, undrawn: list[Sitting], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in drawn.out.rglob("*")}
    main(drawn)
    assert not undrawn
    assert {path: path.stat().st_mtime_ns for path in drawn.out.rglob("*")} == before
    assert "already there" in capsys.readouterr().out


def test_a_run_killed_half_way_is_completed(tmp_path: Path, undrawn: list[Sitting]) -> None:
    options = Options(people=6, eval_people=6, out=tmp_path / "sample")
    main(options)
    lost = plan_training(options)[2]
    lost.files[labels.NORMAL].unlink()
    (options.out / "eval_solution.csv").unlink()
    undrawn.clear()
    main(options)
    assert [sitting.person for sitting in undrawn] == [lost.person]
    assert lost.files[labels.NORMAL].exists()
    assert len(read(options.out / "eval_solution.csv")) == 42


def test_the_tables_are_not_there_before_all_images_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_sittings: list[Sitting], _workers: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shared.sample_data._draw_all", stop)
    options = Options(people=6, eval_people=6, out=tmp_path / "sample")
    with pytest.raises(KeyboardInterrupt):
        main(options)
    assert not list(options.out.rglob("*.csv"))


def test_other_options_for_the_same_folder_are_refused(drawn: Options) -> None:
    with pytest.raises(UserError, match=r"other options.*--out"):
        main(replace(drawn, seed=1))
    with pytest.raises(UserError, match="other options"):
        main(replace(drawn, top_coded=True))


@pytest.mark.usefixtures("undrawn")
def test_a_sample_of_another_version_is_kept_beside_the_new_one_with_all_that_was_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options(people=6, eval_people=6, out=tmp_path / "sample")
    main(options)
    stamp = options.out / "sample.json"
    for number in (1, 2):
        stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"drawing": -number}))
        (options.out / "notes.txt").write_text(f"mine {number}")
        with pytest.raises(UserError, match=r"another version.*--renew"):
            main(options)
        main(replace(options, renew=True))
        aside = tmp_path / f"sample.old{number}"
        assert str(aside) in capsys.readouterr().out
        assert (aside / "notes.txt").read_text() == f"mine {number}"
        assert len(list(aside.rglob("*.jpg"))) == len(list(options.out.rglob("*.jpg"))) == 84
        assert not (options.out / "notes.txt").exists()


def test_renew_leaves_a_sample_of_this_version_and_foreign_folders_alone(
    drawn: Options, undrawn: list[Sitting], tmp_path: Path
) -> None:
    main(replace(drawn, renew=True))
    assert not undrawn
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="no sample of this command"):
        main(Options(out=tmp_path, renew=True))


def test_a_sample_from_before_glasses_could_be_asked_for_is_still_whole(drawn: Options, undrawn: list[Sitting]) -> None:
    stamp = drawn.out / "sample.json"
    now = stamp.read_text()
    stamp.write_text(json.dumps({key: value for key, value in json.loads(now).items() if key != "glasses"}))
    main(drawn)
    stamp.write_text(now)
    assert not undrawn


def test_asked_for_glasses_are_worn_by_that_share_and_told_in_both_tables(
    tmp_path: Path, undrawn: list[Sitting]
) -> None:
    options = Options(people=20, eval_people=10, out=tmp_path / "sample", glasses=0.4)
    main(options)
    told = read(options.out / "train" / "train.csv").set_index("id")["glasses"]
    truth = read(options.out / "eval_solution.csv").groupby("person")["glasses"].unique()
    assert list(told).count("yes") == 8
    assert sorted(value for values in truth for value in values) == ["no"] * 6 + ["yes"] * 4
    for sitting in undrawn:
        assert sitting.glasses == ({**told, **truth.str[0]}[sitting.person] == "yes")


def test_a_folder_with_other_files_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"no sample of this command.*--out"):
        main(Options(out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_broken_sample_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text("{")
    with pytest.raises(UserError, match=r"sample\.json cannot be read"):
        main(Options(out=tmp_path))


def test_sample_json_tells_how_to_draw_the_same_again(drawn: Options) -> None:
    stamp = json.loads((drawn.out / "sample.json").read_text())
    del stamp["drawing"]
    assert replace(Options(**stamp), out=drawn.out, workers=drawn.workers) == drawn


def test_without_eval_people_there_is_no_eval_folder(tmp_path: Path, undrawn: list[Sitting]) -> None:
    main(Options(people=6, eval_people=0, out=tmp_path / "sample"))
    assert len(undrawn) == 6
    assert sorted(path.name for path in (tmp_path / "sample").iterdir()) == ["sample.json", "train"]


@pytest.mark.parametrize(
    ("flag", "options"),
    [
        ("--people 5", {"people": 5}),
        ("--eval-people 3", {"eval_people": 3}),
        ("--eval-people -1", {"eval_people": -1}),
        ("--seed -1", {"seed": -1}),
        ("--workers -1", {"workers": -1}),
        ("--glasses 1.5", {"glasses": 1.5}),
    ],
)
def test_options_that_cannot_be_name_their_flag(flag: str, options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=flag):
        Options(**options)  # type: ignore[arg-type]


def test_mtcnn_finds_nearly_all_faces(drawn: Options) -> None:
    facenet_pytorch = pytest.importorskip("facenet_pytorch")
    detector = facenet_pytorch.MTCNN(keep_all=True, min_face_size=80)
    paths = sorted((drawn.out / "train" / "images").rglob("*.jpg"))
    images = [Image.fromarray(cv2.imread(str(path))[:, :, ::-1]) for path in paths]
    boxes, _ = detector.detect(images)
    assert sum(found is not None for found in boxes) >= 0.9 * len(paths)
