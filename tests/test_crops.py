"""What is kept between runs of the crop stage, and what a run that is killed leaves."""

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from drawn_faces import bare, encode, write_portraits
from tiny_crops import write_crops

from shared.crops import DETECTED, EYES, INDEX, LANDMARKS, PRIOR, UNFINISHED, UNREADABLE, CropSet, as_table, open_crops
from shared.faces import alignment, cache
from shared.faces import crop as crop_files
from shared.faces.alignment import crop
from shared.faces.cache import update_crops
from shared.faces.crop import cut_by_prior
from shared.faces.image_io import decode
from shared.messages import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def images(tmp_path: Path) -> pd.DataFrame:
    """Fourteen portraits, a wall without a face and an empty file."""
    table = write_portraits(tmp_path / "images")
    wall, empty = tmp_path / "images" / "wall.png", tmp_path / "images" / "empty.jpg"
    wall.write_bytes(encode(np.full((400, 300, 3), 90, np.uint8), "PNG"))
    empty.write_bytes(b"")
    more = pd.DataFrame([(path.name, str(path)) for path in (wall, empty)], columns=["image", "path"])
    return pd.concat([table, more], ignore_index=True)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "crops"


def update(images: pd.DataFrame, out: Path) -> tuple[CropSet, int]:
    """The crops, and how many images had to be looked at."""
    made = update_crops(images, out, workers=1, device="cpu", progress=False)
    return made.crops, made.new


def content(out: Path) -> dict[str, bytes]:
    """All files of a crop set by name."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_unchanged_images_are_not_looked_at_again(images: pd.DataFrame, out: Path) -> None:
    first, new = update(images, out)
    before = content(out)
    second, again = update(images, out)
    assert (new, again) == (16, 0)
    assert content(out) == before
    assert second.index.equals(first.index)


def test_a_copied_data_folder_has_other_times_but_is_not_done_again(images: pd.DataFrame, out: Path) -> None:
    update(images, out)
    for path in images["path"]:
        os.utime(path, (1, 1))
    crops, new = update(images, out)
    assert new == 0
    assert set(crops.index["mtime_ns"]) == {10**9}


def test_a_changed_image_is_done_again(images: pd.DataFrame, out: Path) -> None:
    first, _ = update(images, out)
    changed = images.loc[3]
    before = first.read(changed["image"])
    flipped = cv2.flip(cv2.imread(changed["path"]), 1)
    cv2.imwrite(changed["path"], flipped)
    crops, new = update(images, out)
    assert new == 1
    difference = cv2.absdiff(crops.read(changed["image"]), cv2.flip(before, 1))
    assert difference.mean() < 12
    assert crops.index["fingerprint"].loc[changed["image"]] != first.index["fingerprint"].loc[changed["image"]]


def test_a_change_that_keeps_size_and_crop_is_noticed_by_its_time(images: pd.DataFrame, out: Path) -> None:
    update(images, out)
    path = Path(images.loc[0, "path"])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, (1, 1))
    assert update(images, out)[1] == 1


def test_new_images_are_added_and_gone_ones_dropped(images: pd.DataFrame, out: Path) -> None:
    update(images.iloc[:10], out)
    crops, new = update(images.iloc[4:], out)
    assert new == 6
    assert list(crops.index.index) == list(images["image"][4:])


def test_a_crop_that_was_lost_is_made_again(images: pd.DataFrame, out: Path) -> None:
    crops, _ = update(images, out)
    before, seen = content(out), [crops.read(image) for image in images["image"][:2]]
    lost = crops.index["file"].iloc[:2].tolist()
    (out / lost[0]).unlink()
    (out / lost[1]).write_bytes(b"")
    again, new = update(images, out)
    assert new == 2
    # Which images go through the nets together decides the last digits of landmarks, on some processors.
    assert {name for name, data in content(out).items() if before[name] != data} <= {*lost, "index.csv"}
    assert np.abs(again.index[LANDMARKS] - crops.index[LANDMARKS]).max(axis=None) <= 0.05
    for image, pixels in zip(images["image"], seen, strict=False):
        assert np.abs(again.read(image).astype(float) - pixels).mean() < 1


def test_crops_of_another_recipe_are_made_anew_and_valid_until_then(
    images: pd.DataFrame, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = update(images, out)
    other = alignment.Recipe(jpeg_quality=50)
    for module in (cache, crop_files):
        monkeypatch.setattr(module, "RECIPE", other)
    with monkeypatch.context() as patch:
        patch.setattr(cache.Cache, "publish", lambda *_: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            update(images, out)
    assert old.read(images["image"][0]).shape == (256, 256, 3)
    crops, new = update(images, out)
    assert (crops.recipe, new) == (other.id, 0)
    assert not (out / old.recipe).exists()


def test_the_recipe_has_the_id_that_weights_were_trained_with() -> None:
    assert alignment.RECIPE.id == "94abede3"
    assert alignment.Recipe(jpeg_quality=50).id != alignment.RECIPE.id


def test_threads_that_feed_a_gpu_share_nets_that_are_loaded_once(
    images: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, load, threads = [], torch.load, cv2.getNumThreads()
    monkeypatch.setattr(cache, "choose_device", lambda _: "cpu:0")  # Not "cpu", so it is treated as a GPU.
    monkeypatch.setattr(cache, "CHUNK", 2)
    monkeypatch.setattr(torch, "load", lambda *given, **named: loaded.append(given) or load(*given, **named))
    made = update_crops(images, tmp_path / "gpu", workers=3, device="auto", progress=False)
    assert (made.new, len(loaded)) == (16, 3)
    assert cv2.getNumThreads() == threads


def index_row(image: str, found: str, width: int, height: int, eyes: tuple[float, ...] = ()) -> dict[str, object]:
    places = dict(zip(LANDMARKS, eyes, strict=False))
    return {"image": image, "file": "", "found": found, "width": width, "height": height, **places}


def detected(count: int) -> list[dict[str, object]]:
    """Eyes 40 apart in the middle of 200 x 400, at a quarter of the height; every third one turned by 90 degrees."""
    level, turned = (80.0, 100.0, 120.0, 100.0), (100.0, 80.0, 100.0, 120.0)
    return [index_row(f"d{number}", DETECTED, 200, 400, level if number % 3 else turned) for number in range(count)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.png"
    path.write_bytes(encode(bare().pixels, "PNG"))
    return path


def test_the_crop_shows_the_assumed_place(tmp_path: Path, source: Path) -> None:
    rows = cut_by_prior(as_table([*detected(12), index_row("x", PRIOR, 384, 512)]), {"x": str(source)}, tmp_path)
    eyes = rows.loc["x", LANDMARKS[:4]].to_numpy(float).reshape(2, 2)
    assert eyes.tolist() == [[153.6, 128], [230.4, 128]]
    expected = crop(decode(source.read_bytes()), eyes)
    written = decode((tmp_path / rows.loc["x", "file"]).read_bytes()).pixels
    assert np.abs(written.astype(float) - expected).mean() < 3
    assert EYES == ((96, 112), (160, 112))


def test_a_crop_is_cut_again_only_when_the_place_has_moved(tmp_path: Path, source: Path) -> None:
    paths = {"x": str(source)}
    rows = cut_by_prior(as_table([*detected(12), index_row("x", PRIOR, 384, 512)]), paths, tmp_path)
    file = tmp_path / rows.loc["x", "file"]
    file.write_bytes(b"as it was")
    assert cut_by_prior(rows, paths, tmp_path).equals(rows)
    assert file.read_bytes() == b"as it was"
    elsewhere = [index_row(f"e{number}", DETECTED, 200, 400, (60, 200, 140, 200)) for number in range(30)]
    moved = cut_by_prior(pd.concat([rows, as_table(elsewhere)]), paths, tmp_path)
    assert moved.loc["x", LANDMARKS[0]] == pytest.approx(192 - 0.4 * 384 / 2)
    assert file.read_bytes() != b"as it was"


def test_a_image_that_vanished_meanwhile_is_unreadable(tmp_path: Path) -> None:
    rows = cut_by_prior(as_table([index_row("x", PRIOR, 384, 512)]), {"x": str(tmp_path / "gone.jpg")}, tmp_path)
    assert rows.loc["x", ["found", "problem"]].tolist() == [UNREADABLE, "no such file or directory"]
    assert (tmp_path / rows.loc["x", "file"]).exists()


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
