"""Images and tables that chance spoilt: pixels or a reason, rows or a clear error."""

import io
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import Place
from drawn_faces import bare, encode, files
from forks import fork, was_killed
from hostile import cut_image, huffman_tables, random_bytes, spoilt_huffman, spoilt_image, whole_images
from numpy.random import Generator
from PIL import Image
from readers import PATIENCE, in_time, try_images, try_tables

from shared.crops import DETECTED, RETRIED, UNREADABLE
from shared.faces.cache import update_crops
from shared.faces.image_io import UnusableImageError, decode

MIB = 2**20


def test_a_thousand_files_of_random_bytes_are_all_refused(random: Generator) -> None:
    assert try_images(random_bytes, 1000, random) == 1000


def test_an_image_cut_short_is_refused_in_every_form_unless_little_is_missing(random: Generator) -> None:
    assert 90 <= try_images(cut_image, 100, random) <= 100


def test_spoilt_huffman_tables_give_pixels_or_a_reason(random: Generator) -> None:
    assert len(huffman_tables(whole_images()[0])) == 4
    refused = try_images(spoilt_huffman, 200, random)
    assert 0 < refused < 200


def test_changed_bytes_give_pixels_or_a_reason(random: Generator) -> None:
    refused = try_images(spoilt_image, 200, random)
    assert 0 < refused < 200


def test_spoilt_tables_give_rows_or_a_user_error(place: Place, tmp_path: Path, random: Generator) -> None:
    refused = try_tables(place, tmp_path, 300, random)
    assert 0 < refused < 300


def _with_little_memory(more: int, work: Callable[[bytes], object], data: bytes) -> None:
    """Do the work in a process that may have so many bytes more than it begins with, of address space."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    work(data)


def _refused(data: bytes) -> None:
    with pytest.raises(UnusableImageError, match="too large: 12000 x 12000"):
        decode(data)


@pytest.mark.parametrize("form", ["JPEG", "progressive", "PNG"])
def test_a_image_of_12000_by_12000_pixels_is_read_or_refused_in_little_memory(form: str) -> None:
    levels = np.zeros((12000, 12000), np.uint8)
    data = encode(levels, "PNG" if form == "PNG" else "JPEG", progressive=form == "progressive")
    # The whole image would take 144 MB in grey, 432 in colour.
    work = decode if form == "JPEG" else _refused
    assert not was_killed(fork(_with_little_memory, 100 * MIB, work, data))


def hostile_files(random: Generator) -> dict[str, bytes]:
    """Of every kind that has made a program stumble; those whose name begins with "not" cannot be read."""
    jpeg, png = files()[0], encode(bare().pixels, "PNG")
    cut = {f"not {tenth} tenths.jpg": jpeg[: len(jpeg) * tenth // 10] for tenth in range(7)}
    noise = {f"not {number} noise.jpg": random_bytes(random) for number in range(20)}
    tables = {f"{number} tables.jpg": spoilt_huffman(random) for number in range(10)}
    palette, frames = io.BytesIO(), io.BytesIO()
    clear = Image.fromarray(bare().pixels).convert("RGBA")
    clear.putalpha(128)
    clear.quantize().save(palette, "PNG")
    clear.save(frames, "GIF", save_all=True, append_images=[Image.new("RGB", clear.size)])
    odd = {
        "png.jpg": png,
        "jpeg.gif": jpeg,
        "dot.jpg": encode(np.zeros((1, 1, 3), np.uint8)),
        "dot.png": encode(np.zeros((1, 1, 3), np.uint8), "PNG"),
        "long.jpg": encode(np.zeros((20, 20000, 3), np.uint8)),
        "tall.png": encode(np.zeros((20000, 20, 3), np.uint8), "PNG"),
        "large.jpg": encode(np.zeros((12000, 12000), np.uint8)),
        "not large.png": encode(np.zeros((12000, 12000), np.uint8), "PNG"),
        "cmyk.jpg": whole_images()[-1],
        "16 bits.png": encode(np.zeros((300, 200), np.uint16), "PNG"),
        "palette.png": palette.getvalue(),
        "frames.gif": frames.getvalue(),
    }
    return {**cut, **noise, **tables, **odd}


def test_a_folder_full_of_hostile_images_is_cropped_and_each_is_named(tmp_path: Path, random: Generator) -> None:
    hostile = hostile_files(random)
    for name, content in {**hostile, "face.jpg": files()[0]}.items():
        (tmp_path / name).write_bytes(content)
    names = [*hostile, "face.jpg"]
    table = pd.DataFrame({"image": names, "path": [str(tmp_path / name) for name in names]})
    with in_time(PATIENCE):
        crops = update_crops(table, tmp_path / "crops", workers=1, device="cpu", progress=False).crops
    assert crops.index.index.tolist() == names
    problems = crops.index["problem"]
    assert (crops.index["found"].eq(UNREADABLE) == problems.ne("")).all()
    unclear = problems.index.str.contains("tables")
    assert (problems.ne("") == problems.index.str.startswith("not"))[~unclear].all(), problems
    assert set(crops.index["found"][["face.jpg", "jpeg.gif", "png.jpg"]]) <= {DETECTED, RETRIED}
    assert all(crops.read(name).shape == (256, 256, 3) for name in names)
