from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_faces import bare, encode

from shared.crops import DETECTED, EYES, LANDMARKS, PRIOR, UNREADABLE, as_table
from shared.faces.alignment import crop
from shared.faces.crop import USUAL_PLACE, assumed_eyes, cut_by_prior, typical_place
from shared.faces.image_io import decode


def row(image: str, found: str, width: int, height: int, eyes: tuple[float, ...] = ()) -> dict[str, object]:
    places = dict(zip(LANDMARKS, eyes, strict=False))
    return {"image": image, "file": "", "found": found, "width": width, "height": height, **places}


def detected(count: int) -> list[dict[str, object]]:
    """Eyes 40 apart in the middle of 200 x 400, at a quarter of the height; every third one turned by 90 degrees."""
    level, turned = (80.0, 100.0, 120.0, 100.0), (100.0, 80.0, 100.0, 120.0)
    return [row(f"d{number}", DETECTED, 200, 400, level if number % 3 else turned) for number in range(count)]


def test_the_typical_place_is_the_median_in_shares_of_the_image() -> None:
    assert typical_place(as_table(detected(12))) == pytest.approx((0.5, 0.25, 0.2))


def test_one_strange_face_does_not_move_it() -> None:
    rows = [*detected(12), row("strange", DETECTED, 200, 400, (0, 390, 5, 390))]
    assert typical_place(as_table(rows)) == pytest.approx((0.5, 0.25, 0.2))


def test_of_few_faces_nothing_is_concluded() -> None:
    assert typical_place(as_table(detected(9))) == USUAL_PLACE


def test_the_eyes_are_assumed_level_and_at_that_place_in_any_size() -> None:
    rows = as_table([*detected(12), row("landscape", PRIOR, 1000, 500)])
    eyes = assumed_eyes(rows, rows[rows["found"] == PRIOR])
    # Middle 500 and 125; apart by a fifth of the shorter side, 100.
    assert eyes.loc["landscape"].tolist() == [450, 125, 550, 125]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.png"
    path.write_bytes(encode(bare().pixels, "PNG"))
    return path


def test_the_crop_shows_the_assumed_place(tmp_path: Path, source: Path) -> None:
    rows = cut_by_prior(as_table([*detected(12), row("x", PRIOR, 384, 512)]), {"x": str(source)}, tmp_path)
    eyes = rows.loc["x", LANDMARKS[:4]].to_numpy(float).reshape(2, 2)
    assert eyes.tolist() == [[153.6, 128], [230.4, 128]]
    expected = crop(decode(source.read_bytes()), eyes)
    written = decode((tmp_path / rows.loc["x", "file"]).read_bytes()).pixels
    assert np.abs(written.astype(float) - expected).mean() < 3
    assert EYES == ((96, 112), (160, 112))


def test_a_crop_is_cut_again_only_when_the_place_has_moved(tmp_path: Path, source: Path) -> None:
    paths = {"x": str(source)}
    rows = cut_by_prior(as_table([*detected(12), row("x", PRIOR, 384, 512)]), paths, tmp_path)
    file = tmp_path / rows.loc["x", "file"]
    file.write_bytes(b"as it was")
    assert cut_by_prior(rows, paths, tmp_path).equals(rows)
    assert file.read_bytes() == b"as it was"
    elsewhere = [row(f"e{number}", DETECTED, 200, 400, (60, 200, 140, 200)) for number in range(30)]
    moved = cut_by_prior(pd.concat([rows, as_table(elsewhere)]), paths, tmp_path)
    assert moved.loc["x", LANDMARKS[0]] == pytest.approx(192 - 0.4 * 384 / 2)
    assert file.read_bytes() != b"as it was"


def test_a_image_that_vanished_meanwhile_is_unreadable(tmp_path: Path) -> None:
    rows = cut_by_prior(as_table([row("x", PRIOR, 384, 512)]), {"x": str(tmp_path / "gone.jpg")}, tmp_path)
    assert rows.loc["x", ["found", "problem"]].tolist() == [UNREADABLE, "no such file or directory"]
    assert (tmp_path / rows.loc["x", "file"]).exists()
