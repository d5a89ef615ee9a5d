"""Extra persons whose photograph is in the base data too, under another id."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn_blotches import blotches
from tiny_competition import people, write_eval, write_train
from tiny_crops import write_crops

from shared.crops import open_crops
from shared.manifest import load_evaluation, load_training
from shared.near_duplicates import FILE, face_hash, face_hashes
from shared.training.extra_data import with_extra
from shared.training.inference import accelerator_for
from shared.training.options import TrainOptions

EXTRA = 5


@pytest.fixture
def options(tmp_path: Path) -> TrainOptions:
    """12 base persons and 5 extra ones: x000002 on the photograph of 000009, x000004 on that of 000007, mirrored."""
    rows = [row | {"id": f"x{row['id']}", "path": f"x{row['path']}"} for row in people(EXTRA)]
    base = write_train(tmp_path / "data/train", people(12), ("normal",))
    extra = write_train(tmp_path / "more", rows, ("normal",))
    write_crops(load_training(base), tmp_path / "crops/train")
    write_crops(load_training(extra), tmp_path / "crops/more")
    for number in range(12):
        _photograph(tmp_path / "crops/train", number, blotches(number))
    for number in range(EXTRA):
        _photograph(tmp_path / "crops/more", number, blotches(100 + number))
    _photograph(tmp_path / "crops/more", 1, made_anew(blotches(8)))
    _photograph(tmp_path / "crops/more", 3, made_anew(blotches(6))[:, ::-1])
    return TrainOptions(data=tmp_path / "data", crops=tmp_path / "crops", extra=(extra,))


def _photograph(crops: Path, number: int, pixels: np.ndarray) -> None:
    """Give the person of this number a crop with something to see."""
    cv2.imwrite(str(crops / f"{number}.jpg"), pixels)


def made_anew(pixels: np.ndarray) -> np.ndarray:
    """Darker, framed otherwise and of low quality."""
    moved = cv2.warpAffine(pixels, np.float32([[1, 0, 2], [0, 1, -1]]), (256, 256), borderMode=cv2.BORDER_REPLICATE)
    low = cv2.imencode(".jpg", (0.8 * moved).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    return cv2.imdecode(low, cv2.IMREAD_COLOR)


def joined(options: TrainOptions) -> pd.DataFrame:
    base = load_training(options.data / "train").assign(fold=0)
    table, crops = with_extra(base, open_crops(options.crops / "train"), options, accelerator_for("cpu"))
    assert table["image"].tolist() == crops.index.index.tolist()
    return table


def test_extra_persons_on_a_photograph_of_the_base_data_are_left_out_and_told(
    options: TrainOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    table = joined(options)
    assert set(table["person"][table["source"] == "more"]) == {"x000001", "x000003", "x000005"}
    assert (table["source"] == "").sum() == 12
    said = capsys.readouterr().err
    assert "2 persons left out, whose photograph --data has too: x000002 is 000009, x000004 is 000007\n" in said


def test_a_photograph_among_the_eval_images_is_left_out_too(
    options: TrainOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    images = load_evaluation(write_eval(options.data)).assign(age=30, gender=0, mask=0)
    assert len(joined(options)) == 12 + 3  # No crops of them yet.
    write_crops(images, options.crops / "eval")
    cv2.imwrite(str(options.crops / "eval/4.jpg"), made_anew(blotches(104)))
    assert set(joined(options)["person"]) & {"x000003", "x000005"} == {"x000003"}
    assert f"x000005 is eval's {images['image'][4]}" in capsys.readouterr().err


def test_a_file_that_is_an_eval_image_too_is_left_out_whatever_it_shows(
    options: TrainOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    images = load_evaluation(write_eval(options.data)).assign(age=30, gender=0, mask=0)
    joined(options)
    assert f"{options.crops / 'eval'} has no crops, so no person of --extra is compared" in capsys.readouterr().err
    write_crops(images, options.crops / "eval")
    for file, row, value in (("more", 4, "found"), ("more", 4, "fingerprint"), ("eval", 2, "fingerprint")):
        index = pd.read_csv(options.crops / file / "index.csv", dtype=str)
        index.loc[row, value] = "prior" if value == "found" else "one file"
        index.to_csv(options.crops / file / "index.csv", index=False)
    assert set(joined(options)["person"]) & {"x000003", "x000005"} == {"x000003"}
    said = capsys.readouterr().err
    assert f"x000005 is eval's {images['image'][2]}" in said
    assert "no person of --extra is compared" not in said


def test_nothing_is_said_where_all_photographs_are_other_ones(
    options: TrainOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    _photograph(options.crops / "more", 1, blotches(101))
    _photograph(options.crops / "more", 3, blotches(103))
    assert (joined(options)["source"] == "more").sum() == EXTRA
    assert "left out" not in capsys.readouterr().err


def test_a_second_run_takes_the_hashes_that_the_first_one_kept(
    options: TrainOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = joined(options)
    monkeypatch.setattr("shared.near_duplicates.face_hash", lambda _: pytest.fail("hashed again"))
    pd.testing.assert_frame_equal(joined(options), first)


def test_hashes_of_other_images_and_broken_ones_are_made_again(options: TrainOptions) -> None:
    crops = open_crops(options.crops / "more")
    images = crops.index.index.tolist()
    expected = np.stack([face_hash(crops.read(image)) for image in images])
    assert (face_hashes(crops, images) == expected).all()
    assert (face_hashes(crops, images[::-1]) == expected[::-1]).all()
    _photograph(crops.folder, 0, blotches(200))
    index = crops.index.copy()
    index.loc[images[0], "fingerprint"] = "another"
    changed = face_hashes(replace(crops, index=index), images)
    assert (changed[0] == face_hash(crops.read(images[0]))).all()
    assert (changed[1:] == expected[1:]).all()
    for broken in ("", "image,made_of\n", f"image,made_of,hash\n{images[0]},1-x,zz\n", "\0\1"):
        (crops.folder / FILE).write_text(broken)
        assert (face_hashes(crops, images) == changed).all()


def test_a_face_that_was_not_found_is_compared_with_none(options: TrainOptions) -> None:
    index = pd.read_csv(options.crops / "more/index.csv")
    index.loc[1, "found"] = "prior"
    index.to_csv(options.crops / "more/index.csv", index=False)
    assert "x000002" in set(joined(options)["person"])
