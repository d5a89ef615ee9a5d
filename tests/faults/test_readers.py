"""Pictures and tables that chance spoilt: pixels or a reason, rows or a clear error. `make soak` tries many more."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import Place
from drawn_faces import encode
from forks import fork, was_killed
from hostile import cut_picture, huffman_tables, random_bytes, spoilt_huffman, spoilt_picture, whole_pictures
from numpy.random import Generator
from readers import try_pictures, try_tables

from shared.faces.picture_files import UnusablePictureError, decode

MIB = 2**20


def test_a_thousand_files_of_random_bytes_are_all_refused(random: Generator) -> None:
    assert try_pictures(random_bytes, 1000, random) == 1000


def test_a_picture_cut_short_anywhere_is_refused_in_every_form(random: Generator) -> None:
    assert try_pictures(cut_picture, 100, random) == 100


def test_spoilt_huffman_tables_give_pixels_or_a_reason(random: Generator) -> None:
    assert len(huffman_tables(whole_pictures()[0])) == 4
    refused = try_pictures(spoilt_huffman, 200, random)
    assert 0 < refused < 200


def test_changed_bytes_give_pixels_or_a_reason(random: Generator) -> None:
    refused = try_pictures(spoilt_picture, 200, random)
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
    with pytest.raises(UnusablePictureError, match="too large: 12000 x 12000"):
        decode(data)


@pytest.mark.parametrize("form", ["JPEG", "progressive", "PNG"])
def test_a_picture_of_12000_by_12000_pixels_is_read_or_refused_in_little_memory(form: str) -> None:
    levels = np.zeros((12000, 12000), np.uint8)
    data = encode(levels, "PNG" if form == "PNG" else "JPEG", progressive=form == "progressive")
    # The whole picture would take 144 MB in grey, 432 in colour.
    work = decode if form == "JPEG" else _refused
    assert not was_killed(fork(_with_little_memory, 100 * MIB, work, data))
