"""The command, from its options to what it tells."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_faces import encode, files
from tiny_crops import write_crops

from shared.commands import parse
from shared.crop_faces import Options, main
from shared.crops import DETECTED, PRIOR, RETRIED, UNREADABLE, CropSet, open_crops
from shared.faces import workers
from shared.faces.cache import make_crops
from shared.faces.contact_sheet import COLOURS, draw_sheet, write_sheet
from shared.labels import IMAGE_KINDS
from shared.messages import UserError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A competition folder of two drawn persons, one eval image without a face and one that is none."""
    train, evaluation = tmp_path / "data" / "train", tmp_path / "data" / "eval"
    persons = [f"00000{number}_female_Drawn_24" for number in (1, 2)]
    for place, content in enumerate(files()):
        path = train / "images" / persons[place // 7] / f"{IMAGE_KINDS[place % 7]}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    table = {"id": ["000001", "000002"], "gender": "female", "race": "Drawn", "age": 24, "path": persons}
    pd.DataFrame(table).to_csv(train / "train.csv", index=False)
    (evaluation / "images").mkdir(parents=True)
    (evaluation / "images" / "wall.jpg").write_bytes(encode(np.full((300, 200, 3), 200, np.uint8)))
    (evaluation / "images" / "text.jpg").write_text("no image")
    pd.DataFrame({"ImageID": ["wall.jpg", "text.jpg"], "ans": 0}).to_csv(evaluation / "info.csv", index=False)
    return tmp_path / "data"


def test_both_halves_are_cropped_and_everything_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data.parent / "crops"
    main(Options(data, out, sheet=out / "sheet.jpg", device="cpu"))
    told = capsys.readouterr().out
    train, evaluation = open_crops(out / "train"), open_crops(out / "eval")
    assert set(train.index["found"]) <= {DETECTED, RETRIED}
    assert evaluation.index["found"].tolist() == [PRIOR, UNREADABLE]
    assert f"{out / 'train'}: 14 crops of recipe {train.recipe}, 14 of them new" in told
    assert "warning: 1 image could not be read:\n    text.jpg: not an image\n" in told
    assert told.endswith(f"contact sheet: {out / 'sheet.jpg'}\n")
    main(Options(data, out, device="cpu"))
    assert "14 crops of recipe" in (again := capsys.readouterr().out)
    assert again.count("all up to date") == 2


def test_one_half_alone_goes_into_the_folder_itself(data: Path) -> None:
    main(Options(data / "train", data.parent / "crops", device="cpu"))
    assert len(open_crops(data.parent / "crops").index) == 14


def test_it_runs_as_a_script_from_any_folder(data: Path) -> None:
    shutil.rmtree(data / "train")
    command = [sys.executable, str(ROOT / "shared" / "crop_faces.py"), "--data", "data"]
    done = subprocess.run(command, cwd=data.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "crops/eval: 2 crops of recipe" in done.stdout
    assert "images/s" in done.stderr


@pytest.mark.parametrize("arguments", [["--workers", "-1"], ["--sheet", "sheet.tiff"]])
def test_unusable_options_name_the_flag(arguments: list[str]) -> None:
    with pytest.raises(UserError, match=arguments[0]):
        parse(Options(), arguments)


def test_a_sheet_in_the_place_of_an_image_is_refused_before_any_work(data: Path) -> None:
    wall = data / "eval/images/wall.jpg"
    before = wall.read_bytes()
    with pytest.raises(UserError, match=r"--sheet .*wall\.jpg would overwrite its input"):
        main(Options(data, data.parent / "crops", sheet=wall, device="cpu"))
    assert wall.read_bytes() == before
    assert not (data.parent / "crops").exists()


def test_a_gpu_that_is_not_there_is_an_error_that_names_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda"):
        workers.choose_device("cuda")
    assert workers.choose_device("auto") == "cpu"


def test_no_images_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images"):
        make_crops(pd.DataFrame(columns=["image", "path"]), tmp_path)


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


def test_the_sheet_is_written_whole_or_the_error_names_it(tmp_path: Path) -> None:
    crops = {"train": crop_set(tmp_path, [DETECTED])}
    write_sheet(crops, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(UserError, match=r"folder\.jpg"):
        write_sheet(crops, tmp_path / "folder.jpg")
