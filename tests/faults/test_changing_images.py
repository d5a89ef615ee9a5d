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


@pytest.fixture(scope="module")
def anew(tmp_path_factory: pytest.TempPathFactory) -> CropSet:
    """The crops of both images as they are after the replacement."""
    folder = tmp_path_factory.mktemp("anew")
    return crop(write_images(folder, files()[7]), folder / "crops")


def write_images(folder: Path, changing: bytes) -> pd.DataFrame:
    """An image that will change and one that stays."""
    for name, content in (("changing.jpg", changing), ("still.jpg", files()[3])):
        (folder / name).write_bytes(content)
    return pd.DataFrame({"image": ["changing.jpg", "still.jpg"]}).assign(
        path=lambda table: [str(folder / name) for name in table["image"]]
    )


@pytest.mark.parametrize(
    ("module", "name", "before", "old", "replace"),
    [
        (cache, "crop_chunk", True, WALL, rename_over),
        (os, "fstat", True, WALL, write_in_place),
        (os, "fstat", False, files()[0], rename_over),
        (os, "fstat", False, WALL, write_in_place),
        (crop_files, "fingerprint", True, files()[0], write_in_place),
        (cache, "cut_by_prior", True, WALL, rename_over),
        (cache, "cut_by_prior", True, files()[0], write_in_place),
    ],
    ids=["listed", "opened", "measured, renamed over", "measured, written", "read", "looked at", "looked at, face"],
)
def test_the_next_run_shows_an_image_that_was_replaced_while_it_was_cropped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    anew: CropSet,
    module: ModuleType,
    name: str,
    before: bool,
    old: bytes,
    replace: Replace,
) -> None:
    images = write_images(tmp_path, old)
    changing = tmp_path / "changing.jpg"
    with monkeypatch.context() as patch:
        patch.setattr(module, name, _replacing_once(getattr(module, name), before, lambda: replace(changing)))
        crops = crop(images, tmp_path / "crops")
    assert changing.read_bytes() == files()[7]
    assert all(crops.read(image).shape == (256, 256, 3) for image in images["image"])

    crops = crop(images, tmp_path / "crops")
    assert crops.index["fingerprint"]["changing.jpg"] == fingerprint(files()[7])
    assert crops.index["mtime_ns"]["changing.jpg"] == changing.stat().st_mtime_ns
    same_crops(crops, anew)


def same_crops(one: CropSet, other: CropSet) -> None:
    """But for hundredths of a pixel: which images go through the nets together decides the last digits."""
    for column in ("file", "found", "faces", "fingerprint", "size", "problem"):
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
