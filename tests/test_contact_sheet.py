from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny_crops import write_crops

from shared.crops import DETECTED, PRIOR, RETRIED, UNREADABLE, CropSet, open_crops
from shared.faces.contact_sheet import COLOURS, COLUMNS, ROWS, choose_crops, draw_sheet, write_sheet
from shared.messages import UserError


def crop_set(folder: Path, found: list[str]) -> CropSet:
    names = [f"{number:06}_female_Asian_26/incorrect_mask.jpg" for number in range(len(found))]
    write_crops(pd.DataFrame({"image": names, "mask": 1, "gender": 0, "age": 26.0}), folder)
    crops = open_crops(folder)
    crops.index["found"] = found
    return crops


def shows(sheet: np.ndarray, found: str) -> bool:
    """Whether a line as long as a crop has the colour of the frame."""
    return bool(((sheet == COLOURS[found]).all(2).sum(1) > 100).any())


def test_doubtful_crops_are_shown_and_framed_in_their_colours(tmp_path: Path) -> None:
    sheet = draw_sheet({"train": crop_set(tmp_path, [DETECTED] * 10 + [PRIOR, RETRIED, UNREADABLE])})
    assert all(shows(sheet, found) for found in (DETECTED, RETRIED, PRIOR, UNREADABLE))
    assert not shows(draw_sheet({"train": crop_set(tmp_path / "good", [DETECTED] * 10)}), PRIOR)


def test_few_doubtful_among_many_are_all_picked(tmp_path: Path) -> None:
    crops = crop_set(tmp_path, [DETECTED] * 300 + [PRIOR] * 3)
    picks = choose_crops({"train": crops}, COLUMNS * ROWS)
    assert len(set(picks)) == COLUMNS * ROWS
    assert sum(crops.index["found"].loc[image] == PRIOR for _, image in picks) == 3


def test_many_doubtful_do_not_crowd_the_others_out(tmp_path: Path) -> None:
    crops = crop_set(tmp_path, [PRIOR] * 200 + [DETECTED] * 200)
    picks = choose_crops({"train": crops}, 50)
    assert sum(crops.index["found"].loc[image] == DETECTED for _, image in picks) == 40


def test_all_sets_are_sampled(tmp_path: Path) -> None:
    sets = {split: crop_set(tmp_path / split, [DETECTED] * 60) for split in ("train", "eval")}
    assert {split for split, _ in choose_crops(sets, 20)} == {"train", "eval"}


def test_the_sheet_is_written_whole_or_the_error_names_it(tmp_path: Path) -> None:
    crops = {"train": crop_set(tmp_path, [DETECTED])}
    write_sheet(crops, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(UserError, match=r"folder\.jpg"):
        write_sheet(crops, tmp_path / "folder.jpg")
