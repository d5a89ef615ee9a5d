from pathlib import Path

import pandas as pd
import pytest
from tiny_crops import write_crops

from shared.crops import INDEX, UNFINISHED, open_crops
from shared.messages import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A crop set of three images, one of which a careless reader would take for a missing value."""
    table = pd.DataFrame({"image": ["b/mask1.jpg", "NA", "a/normal.jpg"], "mask": 0, "gender": 1, "age": 30.0})
    write_crops(table, tmp_path / "crops" / "train")
    return tmp_path / "crops" / "train"


def test_a_crop_is_read_by_its_image_as_rgb(folder: Path) -> None:
    pixels = open_crops(folder).read("NA")
    assert pixels.shape == (256, 256, 3)
    # Written as BGR with 220 for the gender in the middle and 86 for the age in front: red and blue change places.
    assert pixels.mean((0, 1)) == pytest.approx([20, 220, 86], abs=3)


def test_images_without_a_crop_are_counted_and_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no crop of 2 of 3 images \(x, y\).*python shared/crop_faces.py.*--out"):
        open_crops(folder).keep(["x", "NA", "y"])
    with pytest.raises(UserError, match="no crop of x"):
        open_crops(folder).read("x")


def test_a_missing_crop_file_is_named(folder: Path) -> None:
    (folder / "1.jpg").unlink()
    with pytest.raises(UserError, match=r"1\.jpg is missing or broken"):
        open_crops(folder).read("NA")


def test_no_crops_and_unfinished_ones_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"do not exist.*--out crops"):
        open_crops(Path("crops") / "train")
    (tmp_path / UNFINISHED).mkdir()
    with pytest.raises(UserError, match="are not finished"):
        open_crops(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        "image,file,recipe,found\nx,f,r,somehow\n",
        "image,found\nx\0y",
        # Beyond what 64 bits hold with a sign.
        "image,file,recipe,found,mtime_ns\nx,f,r,detected,17954876156796350298\n",
    ],
)
def test_what_is_no_index_is_refused(folder: Path, text: str) -> None:
    (folder / INDEX).write_text(text)
    with pytest.raises(UserError, match=r"index\.csv"):
        open_crops(folder)


def test_an_index_that_names_a_image_twice_is_refused(folder: Path) -> None:
    lines = (folder / INDEX).read_text().splitlines()
    (folder / INDEX).write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(UserError, match="twice"):
        open_crops(folder)
