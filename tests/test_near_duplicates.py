"""Perceptual hashes, and extra persons whose photograph is in the base data too, under another id."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn_faces import blotches
from scipy.fft import dctn
from tiny_competition import people, write_eval, write_train
from tiny_crops import write_crops

from shared.crops import open_crops
from shared.manifest import load_evaluation, load_training
from shared.near_duplicates import FACE, SAME_IMAGE, face_hash, similar_pairs
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
    return TrainOptions.of(data=tmp_path / "data", crops=tmp_path / "crops", extra=(extra,))


def _photograph(crops: Path, number: int, pixels: np.ndarray) -> None:
    """Give the person of this number a crop with something to see."""
    cv2.imwrite(str(crops / f"{number}.jpg"), pixels)


def made_anew(pixels: np.ndarray) -> np.ndarray:
    """Darker, framed otherwise and of low quality."""
    moved = cv2.warpAffine(pixels, np.float32([[1, 0, 2], [0, 1, -1]]), (256, 256), borderMode=cv2.BORDER_REPLICATE)
    low = cv2.imencode(".jpg", (0.8 * moved).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    return cv2.imdecode(low, cv2.IMREAD_COLOR)


def joined(options: TrainOptions) -> pd.DataFrame:
    base = load_training(options.data.data / "train").assign(fold=0)
    table, crops = with_extra(base, open_crops(options.data.crops / "train"), options.data, accelerator_for("cpu"))
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
    images = load_evaluation(write_eval(options.data.data)).assign(age=30, gender=0, mask=0)
    assert len(joined(options)) == 12 + 3  # No crops of them yet.
    write_crops(images, options.data.crops / "eval")
    cv2.imwrite(str(options.data.crops / "eval/4.jpg"), made_anew(blotches(104)))
    assert set(joined(options)["person"]) & {"x000003", "x000005"} == {"x000003"}
    assert f"x000005 is eval's {images['image'][4]}" in capsys.readouterr().err


def test_a_file_that_is_an_eval_image_too_is_left_out_whatever_it_shows(
    options: TrainOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    images = load_evaluation(write_eval(options.data.data)).assign(age=30, gender=0, mask=0)
    joined(options)
    assert f"{options.data.crops / 'eval'} has no crops, so no person of --extra is compared" in capsys.readouterr().err
    write_crops(images, options.data.crops / "eval")
    for file, row, value in (("more", 4, "found"), ("more", 4, "fingerprint"), ("eval", 2, "fingerprint")):
        index = pd.read_csv(options.data.crops / file / "index.csv", dtype=str)
        index.loc[row, value] = "prior" if value == "found" else "one file"
        index.to_csv(options.data.crops / file / "index.csv", index=False)
    assert set(joined(options)["person"]) & {"x000003", "x000005"} == {"x000003"}
    said = capsys.readouterr().err
    assert f"x000005 is eval's {images['image'][2]}" in said
    assert "no person of --extra is compared" not in said


def test_the_hash_holds_the_signs_of_the_lowest_frequencies_of_scipy() -> None:
    crop = blotches(0)
    grey = cv2.cvtColor(crop[FACE], cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
    lowest = dctn(small, norm="ortho")[:16, :16].ravel()[1:]
    expected = np.where(lowest > np.median(lowest), 1, -1)
    assert (face_hash(crop) == expected).mean() > 0.99  # Single precision, where a value is next to the median.


def test_copies_are_near_and_mirror_images_are_found_and_nothing_else() -> None:
    crops = [blotches(seed) for seed in range(20)]
    hashes = np.stack([face_hash(crop) for crop in crops])
    changed = np.stack([face_hash(each) for each in (made_anew(crops[2]), crops[4][:, ::-1])])
    pairs = similar_pairs(hashes, changed, SAME_IMAGE)
    assert {(pair.one, pair.other, pair.mirrored) for pair in pairs} == {(2, 0, False), (4, 1, True)}
    assert all(pair.one == pair.other for pair in similar_pairs(hashes, hashes, 0.3) if not pair.mirrored)
