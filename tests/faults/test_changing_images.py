"""An image replaced while the crop stage is at it: no crash, and the next run's crop shows the new one."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from drawn_faces import encode, files

from shared.crops import BOX, LANDMARKS, CropSet
from shared.faces import cache
from shared.faces import crop as crop_files
from shared.faces.cache import update_crops
from shared.faces.crop import fingerprint

WALL = encode(np.full((400, 300, 3), 90, np.uint8))
"""An image without a face; its crop is cut at the very end."""

Replace = Callable[[Path], object]


def rename_over(path: Path) -> None:
    """As a copying program that writes under a temporary name does."""
    new = path.with_suffix(".new")
    new.write_bytes(files()[7])
    new.replace(path)


def write_in_place(path: Path) -> None:
    """The file stays the same to whoever has it open."""
    path.write_bytes(files()[7])


def crop(images: pd.DataFrame, out: Path) -> CropSet:
    return update_crops(images, out, workers=1, device="cpu", progress=False).crops


@pytest.mark.parametrize("replace", [rename_over, write_in_place])
@pytest.mark.parametrize("old", [files()[0], WALL], ids=["face", "wall"])
@pytest.mark.parametrize(
    ("module", "name", "before"),
    [
        (cache, "crop_chunk", True),
        (os, "fstat", True),
        (os, "fstat", False),
        (crop_files, "fingerprint", True),
        (cache, "cut_by_prior", True),
    ],
    ids=["listed", "opened", "measured", "read", "looked at"],
)
def test_the_next_run_shows_a_image_that_was_replaced_while_it_was_cropped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    before: bool,
    old: bytes,
    replace: Replace,
) -> None:
    still, changing = tmp_path / "still.jpg", tmp_path / "changing.jpg"
    still.write_bytes(files()[3])
    changing.write_bytes(old)
    images = pd.DataFrame({"image": ["changing.jpg", "still.jpg"], "path": [str(changing), str(still)]})

    with monkeypatch.context() as patch:
        patch.setattr(module, name, _replacing_once(getattr(module, name), before, lambda: replace(changing)))
        crops = crop(images, tmp_path / "crops")
    assert changing.read_bytes() == files()[7]
    assert all(crops.read(image).shape == (256, 256, 3) for image in images["image"])

    crops = crop(images, tmp_path / "crops")
    assert crops.index["fingerprint"]["changing.jpg"] == fingerprint(files()[7])
    same_crops(crops, crop(images, tmp_path / "anew"))


def same_crops(one: CropSet, other: CropSet) -> None:
    """But for hundredths of a pixel: which images go through the nets together decides the last digits."""
    for column in ("file", "found", "faces", "fingerprint", "size", "mtime_ns", "problem"):
        assert one.index[column].equals(other.index[column]), column
    places = [*BOX, *LANDMARKS]
    np.testing.assert_allclose(one.index[places].astype(float), other.index[places].astype(float), atol=0.2)
    for image in one.index.index:
        assert np.abs(one.read(image).astype(float) - other.read(image)).mean() < 1, image


def _replacing_once(
    function: Callable[..., object], before: bool, replace: Callable[[], object]
) -> Callable[..., object]:
    """The function, but an image is replaced before or after its first call."""
    calls = 0

    def wrapper(*given: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        first = calls == 1
        if first and before:
            replace()
        result = function(*given, **named)
        if first and not before:
            replace()
        return result

    return wrapper
