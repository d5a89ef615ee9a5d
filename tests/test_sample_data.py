from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from shared import labels
from shared.manifest import read_source
from shared.messages import UserError
from shared.portraits import Portrait, draw_person
from shared.portraits.clothing import incorrect_fit, worn_fit
from shared.portraits.person import build_head, sample_measures, sample_person
from shared.sample_data import Options, Sitting, _draw_all, main, plan_evaluation, plan_training


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Options:
    """The smallest sample, drawn by two workers: six training and six eval persons."""
    options = Options(people=6, eval_people=6, out=tmp_path_factory.mktemp("sample") / "six", workers=2)
    main(options)
    return options


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> list[Sitting]:
    """Replace drawing by empty files; collects the sittings that would have been drawn."""
    requested: list[Sitting] = []

    def note(sittings: list[Sitting], _workers: int) -> None:
        requested.extend(sittings)
        for file in (file for sitting in sittings for file in sitting.files.values()):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    monkeypatch.setattr("shared.sample_data._draw_all", note)
    return requested


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"id": str, "person": str})


def test_every_row_of_train_csv_has_its_seven_jpegs(drawn: Options) -> None:
    table = read(drawn.out / "train" / "train.csv")
    assert list(table) == ["id", "gender", "race", "age", "path"]
    assert list(table.path) == [f"{row.id}_{row.gender}_{row.race}_{row.age}" for row in table.itertuples()]
    folders = {path.name: path for path in (drawn.out / "train" / "images").iterdir()}
    assert sorted(folders) == sorted(table.path)
    for folder in folders.values():
        assert sorted(path.name for path in folder.iterdir()) == sorted(f"{kind}.jpg" for kind in labels.IMAGE_KINDS)
    for path in drawn.out.rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (384, 512))


def test_the_eval_folder_reveals_nothing_and_the_solution_agrees_with_the_persons(drawn: Options) -> None:
    table = read(drawn.out / "eval" / "info.csv")
    assert list(table) == ["ImageID", "ans"]
    assert (table.ans == 0).all()
    assert sorted(table.ImageID) == sorted(path.name for path in (drawn.out / "eval" / "images").iterdir())
    assert table.ImageID.str.fullmatch(r"[0-9a-f]{40}\.jpg").all()
    solution = read(drawn.out / "eval_solution.csv")
    assert list(solution) == ["ImageID", "ans", "person", "mask", "gender", "age"]
    assert list(solution.ImageID) == list(table.ImageID)
    for row in solution.itertuples():
        band = 0 if row.age < 30 else 1 if row.age < 60 else 2
        assert row.ans == 6 * row.mask + 3 * (row.gender == "female") + band
    for _, masks in solution.groupby("person")["mask"]:
        assert sorted(masks) == [0, 0, 0, 0, 0, 1, 2]
    assert not set(solution.person) & set(read(drawn.out / "train" / "train.csv").id)
    assert (solution.person == solution.person.shift()).sum() < len(solution) / 2, "images of a person are shuffled"


def test_a_sample_says_that_it_is_drawn(drawn: Options) -> None:
    assert read_source(drawn.out)["source"] == "drawings"


@pytest.mark.parametrize(("people", "fewest"), [(6, 1), (7, 1), (20, 2), (60, 5), (300, 5)])
def test_no_cell_of_gender_and_age_band_is_too_small_to_score(people: int, fewest: int) -> None:
    options = Options(people=people, eval_people=people)
    for sittings in (plan_training(options), plan_evaluation(options)):
        counts = Counter((sitting.female, labels.age_band(sitting.age)) for sitting in sittings)
        assert sum(counts.values()) == people
        assert len(counts) == 6
        assert min(counts.values()) >= fewest


def test_all_ages_occur_and_cells_have_the_shares_of_the_competition() -> None:
    sittings = plan_training(Options(people=1000))
    ages = [sitting.age for sitting in sittings]
    assert set(ages) == set(range(18, 76))
    shares = np.bincount([labels.age_band(age) for age in ages]) / len(ages)
    np.testing.assert_allclose(shares, [0.47, 0.43, 0.10], atol=0.005)
    assert np.mean([sitting.female for sitting in sittings]) == pytest.approx(0.61, abs=0.005)


def test_one_worker_draws_the_same_files_as_two(drawn: Options, tmp_path: Path) -> None:
    wanted = next(sitting for sitting in plan_training(drawn) if sitting.female)
    alone = replace(drawn, out=tmp_path / "alone", workers=1)
    _draw_all([sitting for sitting in plan_training(alone) if sitting.person == wanted.person], workers=1)
    for kind, file in wanted.files.items():
        same = alone.out / file.relative_to(drawn.out)
        assert same.read_bytes() == file.read_bytes(), kind


def test_a_complete_sample_is_left_alone(
    drawn: Options, undrawn: list[Sitting], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in drawn.out.rglob("*")}
    main(drawn)
    assert not undrawn
    assert {path: path.stat().st_mtime_ns for path in drawn.out.rglob("*")} == before
    assert "already there" in capsys.readouterr().out


def test_an_interrupted_run_is_completed(tmp_path: Path, undrawn: list[Sitting]) -> None:
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


def test_tables_are_written_after_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_sittings: list[Sitting], _workers: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shared.sample_data._draw_all", stop)
    options = Options(people=6, eval_people=6, out=tmp_path / "sample")
    with pytest.raises(KeyboardInterrupt):
        main(options)
    assert not list(options.out.rglob("*.csv"))


@pytest.mark.parametrize("change", [{"seed": 1}, {"glasses": 0.5}])
def test_other_options_for_the_same_folder_are_refused(drawn: Options, change: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"other options.*--out"):
        main(replace(drawn, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", "mine", r"no sample of this command.*--out"),
        ("sample.json", "{", r"sample\.json cannot be read"),
        ("sample.json", '{"drawing": 1}', r"another version.*delete"),
    ],
)
def test_a_folder_that_is_something_else_is_refused_and_kept(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        main(Options(out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


def test_requested_glasses_are_worn_by_that_share_and_labelled_in_both_tables(
    tmp_path: Path, undrawn: list[Sitting]
) -> None:
    options = Options(people=20, eval_people=10, out=tmp_path / "sample", glasses=0.4)
    main(options)
    labelled = read(options.out / "train" / "train.csv").set_index("id")["glasses"]
    truth = read(options.out / "eval_solution.csv").groupby("person")["glasses"].unique()
    assert list(labelled).count("yes") == 8
    assert sorted(value for values in truth for value in values) == ["no"] * 6 + ["yes"] * 4
    for sitting in undrawn:
        assert sitting.glasses == ({**labelled, **truth.str[0]}[sitting.person] == "yes")


def test_without_eval_people_there_is_no_eval_folder(tmp_path: Path, undrawn: list[Sitting]) -> None:
    main(Options(people=6, eval_people=0, out=tmp_path / "sample"))
    assert len(undrawn) == 6
    assert sorted(path.name for path in (tmp_path / "sample").iterdir()) == ["sample.json", "train"]


@pytest.mark.parametrize(
    ("flag", "options"),
    [
        ("--people 5", {"people": 5}),
        ("--eval-people -1", {"eval_people": -1}),
        ("--seed -1", {"seed": -1}),
        ("--workers -1", {"workers": -1}),
        ("--glasses 1.5", {"glasses": 1.5}),
    ],
)
def test_invalid_options_name_their_flag(flag: str, options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=flag):
        Options(**options)  # type: ignore[arg-type]


def draw(age: int, female: bool, seed: int = 0) -> list[Portrait]:
    return list(draw_person(age, female, np.random.SeedSequence(seed)))


@pytest.fixture(scope="module")
def young() -> list[Portrait]:
    return draw(24, female=True)


def eye_distance(portrait: Portrait) -> float:
    return float(np.linalg.norm(portrait.landmarks[1] - portrait.landmarks[0]))


def test_a_person_has_one_well_exposed_image_of_each_kind_in_order(young: list[Portrait]) -> None:
    assert [portrait.kind for portrait in young] == list(labels.IMAGE_KINDS)
    for portrait in young:
        assert portrait.pixels.shape == (512, 384, 3)
        assert portrait.pixels.dtype == np.uint8
        assert 40 < portrait.pixels.mean() < 220
        assert (portrait.pixels == 255).all(axis=2).mean() < 0.02


def test_the_same_seed_draws_the_same_person_and_another_seed_another(young: list[Portrait]) -> None:
    again, other = draw(24, female=True), draw(24, female=True, seed=1)
    for portrait, same, different in zip(young, again, other, strict=True):
        np.testing.assert_array_equal(portrait.pixels, same.pixels)
        np.testing.assert_array_equal(portrait.landmarks, same.landmarks)
        assert np.abs(portrait.pixels.astype(int) - different.pixels).mean() > 5


def test_requested_glasses_are_drawn_around_the_eyes_and_change_nothing_else() -> None:
    bare, worn = (next(draw_person(24, True, np.random.SeedSequence(0), glasses)) for glasses in (False, True))
    reach, height = eye_distance(bare), bare.landmarks[:2, 1].mean()
    change = np.abs(bare.pixels.astype(int) - worn.pixels).max(axis=2)
    rows, columns = np.nonzero(change > 20)
    assert len(rows) > 200
    assert abs(rows - height).max() < 0.5 * reach
    assert abs(columns - bare.landmarks[:2, 0].mean()).max() < 1.5 * reach
    assert change[: int(height - 0.5 * reach)].max() <= 10


def test_landmarks_are_those_of_an_upright_face_with_dark_pupils(young: list[Portrait]) -> None:
    for portrait in (*young, *draw(30, female=False, seed=4)):
        left, right, nose, mouth_left, mouth_right = portrait.landmarks
        assert (portrait.landmarks > 0).all()
        assert (portrait.landmarks < (384, 512)).all()
        assert left[0] < nose[0] < right[0]
        assert mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
        assert 60 < eye_distance(portrait) < 110
        grey = portrait.pixels.mean(axis=2)
        for x, y in portrait.landmarks[:2].round().astype(int):
            cheek = int(y + 0.28 * eye_distance(portrait))
            assert grey[y - 4 : y + 5, x - 4 : x + 5].min() < 0.7 * grey[cheek, x]


@pytest.mark.parametrize("female", [False, True])
def test_a_worn_mask_covers_nose_and_chin_and_an_incorrect_one_leaves_the_nose_free(female: bool) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        head = build_head(sample_measures(rng, sample_person(rng, female, 40)))
        worn, incorrect = worn_fit(rng, head), incorrect_fit(rng, head)
        assert 0.15 < worn.top < worn.side < head.measures.nose_y, "below the eyes, above the tip of the nose"
        assert incorrect.top > head.measures.nose_y
        assert min(worn.bottom, incorrect.bottom) > head.measures.chin
