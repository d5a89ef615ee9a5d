import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from browser import browser, show
from drawn_faces import blotches
from finished_runs import drawn, write_finished

from shared.folds import assign_folds
from shared.fusion.predictions import HeldOut
from shared.label_audit import SWAP, Options, find_suspects, fixes_of, main
from shared.label_fixes import read_pairs
from shared.labels import GENDERS, INCORRECT, NORMAL
from shared.manifest import load_training
from shared.messages import UserError

WRONG_GENDER, WRONG_AGE, SWAPPED = ("00004", "00009"), ("00012",), ("00006", "00015")
COPIED, COPY = "00020", "00021"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 persons with wrong labels among them, and one whose images are those of another, darker and shifted."""
    folder = tmp_path_factory.mktemp("audit")
    held_out = _swapped(drawn(30, doubt=0.05))
    persons = pd.Series(held_out.truth["gender"], held_out.persons.to_numpy())
    gender = {person: GENDERS[1 - persons[person].iloc[0]] for person in WRONG_GENDER}
    bands = pd.Series(held_out.truth["age"], held_out.persons.to_numpy())
    age = {person: "65" if bands[person].iloc[0] == 0 else "20" for person in WRONG_AGE}
    outputs = write_finished(folder, held_out, {"gender": gender, "age": age})
    _copy_face(folder / "crops/train", f"{COPIED}/normal.jpg", f"{COPY}/normal.jpg")
    return outputs


def _swapped(held_out: HeldOut) -> HeldOut:
    """What was answered to `normal` of some persons is now said of `incorrect_mask`, and the other way round."""
    mask = held_out.predictions["mask"].copy()
    for person in SWAPPED:
        pair = [f"{person}/{NORMAL}.jpg", f"{person}/{INCORRECT}.jpg"]
        mask.loc[pair] = mask.loc[pair[::-1]].to_numpy()
    return replace(held_out, predictions={**held_out.predictions, "mask": mask})


def _copy_face(crops: Path, image: str, copy: str) -> None:
    files = pd.read_csv(crops / "index.csv", index_col="image")["file"]
    pixels = blotches(3)
    cv2.imwrite(str(crops / files[image]), pixels)
    changed = cv2.warpAffine(pixels, np.float32([[1, 0, 2], [0, 1, -1]]), (256, 256), borderMode=cv2.BORDER_REPLICATE)
    cv2.imwrite(str(crops / files[copy]), (0.8 * changed).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 60])


@pytest.fixture(scope="module")
def audited(outputs: Path) -> Path:
    """The folder with what the command found."""
    main(Options(outputs=outputs))
    return outputs / "audit"


def test_planted_label_errors_are_all_found_and_no_other_is_corrected(audited: Path) -> None:
    fixes = pd.read_csv(audited / "fixes.csv", dtype=str, keep_default_na=False)
    by_field = {field: set(part["id"]) for field, part in fixes.groupby("field")}
    assert by_field == {"gender": set(WRONG_GENDER), "age": set(WRONG_AGE), "mask": set(SWAPPED)}
    swaps = fixes[fixes["field"] == "mask"].set_index(["id", "image"])["value"]
    for person in SWAPPED:
        assert swaps[person, NORMAL] == "incorrect"
        assert swaps[person, INCORRECT] == "none"


def test_the_fixes_load_and_put_the_labels_right(audited: Path, outputs: Path) -> None:
    folder = outputs.parent / "data/train"
    before, after = load_training(folder), load_training(folder, [audited / "fixes.csv"])
    held_out = drawn(30, doubt=0.05)
    truth = pd.Series(held_out.truth["gender"], held_out.persons.index).loc[before["image"]].to_numpy()
    assert (before["gender"] != truth).sum() == 7 * len(WRONG_GENDER)
    assert (after["gender"] == truth).all()
    assert (after["mask"] != before["mask"]).sum() == 2 * len(SWAPPED)


def test_what_was_corrected_before_is_not_corrected_again(outputs: Path, audited: Path, tmp_path: Path) -> None:
    known = tmp_path / "known.csv"
    # As trained with: the truth of the runs has to agree with it.
    known.write_text(f"id,image,field,value\n{WRONG_AGE[0]},,age,{_label(outputs, WRONG_AGE[0]):g}\n")
    main(Options(outputs=outputs, out=tmp_path, fixes=(known,)))
    again = pd.read_csv(tmp_path / "fixes.csv", dtype=str)
    assert "age" not in set(again["field"])
    assert len(again) == len(pd.read_csv(audited / "fixes.csv")) - 1
    load_training(outputs.parent / "data/train", [known, tmp_path / "fixes.csv"])
    # The advice keeps the known fixes.
    assert f"--fixes {known} {tmp_path / 'fixes.csv'} --" in (tmp_path / "audit.html").read_text(encoding="utf-8")


def _label(outputs: Path, person: str) -> float:
    table = load_training(outputs.parent / "data/train")
    return float(table["age"][table["person"] == person].iloc[0])


def test_a_person_under_two_ids_is_found_and_kept_in_one_fold(audited: Path, outputs: Path) -> None:
    pairs = read_pairs(audited / "duplicates.csv")
    assert pairs == [(COPIED, COPY)]
    table = load_training(outputs.parent / "data/train")
    folds = assign_folds(table, 5, together=pairs)
    assert folds[COPIED] == folds[COPY]


def test_a_person_whose_photograph_is_among_the_eval_images_is_told(
    outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, asked = outputs.parent / "crops/train", tmp_path / "crops/eval"
    shutil.copytree(train, tmp_path / "crops/train")
    index = pd.read_csv(train / "index.csv", dtype=str)
    faces = index[index["image"].isin([f"{COPIED}/normal.jpg", "00001/normal.jpg"])].copy()
    asked.mkdir()
    for row in faces.itertuples():
        mirrored = cv2.imread(str(train / row.file))[:, ::-1]
        cv2.imwrite(str(asked / f"{row.Index}.png"), mirrored if row.image.startswith(COPIED) else blotches(77))
    faces["file"] = [f"{place}.png" for place in faces.index]
    faces.assign(image=["a.jpg", "b.jpg"], fingerprint=["x", "y"]).to_csv(asked / "index.csv", index=False)
    main(Options(outputs=outputs, out=tmp_path / "audit", crops=tmp_path / "crops"))
    duplicates = pd.read_csv(tmp_path / "audit/eval_duplicates.csv", dtype={"id": str})
    named = dict(zip(faces["image"], ("a.jpg", "b.jpg"), strict=True))
    assert set(duplicates["id"]) == {COPIED, COPY}
    assert set(duplicates["eval_image"]) == {named[f"{COPIED}/normal.jpg"]}
    assert "2 persons with a photograph among the eval images" in capsys.readouterr().out
    assert "Persons among the eval images" in (tmp_path / "audit/audit.html").read_text(encoding="utf-8")


def test_the_contact_sheet_opens_in_a_browser_with_all_faces(audited: Path) -> None:
    with browser() as driver:
        shown = show(driver, audited / "audit.html")
    assert shown.title == "face18: label audit"
    assert len(shown.sections) == 7
    assert shown.images >= 2 * (len(WRONG_GENDER) + len(WRONG_AGE) + len(SWAPPED) + 1)
    assert (shown.broken, shown.console, shown.overflow) == ([], [], 0)
    assert shown.requests == [(audited / "audit.html").absolute().as_uri()]


def test_among_many_persons_of_doubtful_answers_most_planted_errors_come_first() -> None:
    held_out = drawn(300, doubt=0.4, seed=1)
    persons = held_out.persons.drop_duplicates().to_numpy()
    wrong = set(np.random.default_rng(0).choice(persons, 12, replace=False))
    flipped = held_out.persons.isin(wrong).to_numpy()
    gender = np.where(flipped, 1 - held_out.truth["gender"], held_out.truth["gender"])
    planted = replace(held_out, truth={**held_out.truth, "gender": gender})
    suspects = find_suspects(planted, _labels(held_out))
    found = suspects.loc[suspects["field"] == "gender", "id"].tolist()
    assert len(wrong & set(found)) >= 10
    assert len(wrong & set(found[:10])) >= 9


def _labels(held_out: HeldOut) -> pd.DataFrame:
    images = held_out.persons.index
    kinds = [image.rpartition("/")[2].removesuffix(".jpg") for image in images]
    return pd.DataFrame({"kind": kinds, "age": np.array([20, 40, 65])[held_out.truth["age"]]}, index=images)


def test_right_labels_are_not_suspected() -> None:
    held_out = drawn(60, doubt=0.01)
    assert find_suspects(held_out, _labels(held_out)).empty


def test_a_single_wrong_mask_label_is_no_swap() -> None:
    held_out = drawn(30, doubt=0.05)
    image = held_out.persons.index.get_loc("00007/mask2.jpg")
    mask = held_out.truth["mask"].copy()
    mask[image] = 2
    suspects = find_suspects(replace(held_out, truth={**held_out.truth, "mask": mask}), _labels(held_out))
    assert suspects[["field", "id", "image", "given", "suggested"]].to_numpy().tolist() == [
        ["mask", "00007", "mask2", "none", "worn"]
    ]
    fixes = fixes_of(suspects, sure=0.5)
    assert fixes.to_numpy().tolist() == [["00007", "mask2", "mask", "worn"]]
    assert fixes_of(suspects, sure=1.0).empty
    assert SWAP not in set(suspects["field"])


@pytest.mark.parametrize(("flag", "change"), [("--sure", {"sure": 0.3}), ("--alike", {"alike": 0.7})])
def test_a_value_out_of_range_names_its_flag(flag: str, change: dict[str, float]) -> None:
    with pytest.raises(UserError, match=flag):
        Options(**change)  # type: ignore[arg-type]
