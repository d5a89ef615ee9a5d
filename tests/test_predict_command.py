"""`python -m shared.predict`: tables for people, JSON and CSV for programs, drawings, and what goes wrong."""

import csv
import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn_faces import bare, encode, files
from tiny_model import write_model

from shared.commands import parse
from shared.messages import UserError
from shared.predict import Options, drawn_files, find_photographs, main
from shared.predictor import Predictor
from shared.predictor.results import as_csv, as_json, as_table


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "outputs")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with a pair, a portrait one folder further down, an image of nothing, and something else."""
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    pair = np.hstack([bare().pixels, bare().pixels[:, ::-1]])
    (folder / "a pair.png").write_bytes(encode(pair, "PNG"))
    (folder / "deep/one.JPG").write_bytes(files()[0])
    (folder / "nobody.jpg").write_bytes(encode(np.full((200, 300, 3), 90, np.uint8)))
    (folder / "notes.txt").write_text("no photograph")
    return folder


def answered(model: Path, *words: str) -> Options:
    return parse(Options(), [*words, "--model", str(model), "--device", "cpu"])


def test_people_get_a_table(model: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(answered(model, str(album)))
    told = capsys.readouterr().out.splitlines()
    heads = [line for line in told if not line.startswith(" ")]
    assert heads == [
        f"{album}/a pair.png: 768 x 512, 2 faces",
        f"{album}/deep/one.JPG: 384 x 512, 1 face",
        f"{album}/nobody.jpg: 300 x 200, no face found",
    ]
    rows = [line for line in told if line.lstrip()[:2] in ("1 ", "2 ")]
    assert len(rows) == 3


def test_a_face_at_the_edge_begins_at_0_and_not_at_minus_0(model: Path) -> None:
    (photograph,) = Predictor.load(model, device="cpu")(bare().pixels)
    face = replace(photograph.faces[0], box=(-0.04, -0.3, 100.0, 120.0))
    edge = [replace(photograph, faces=(face,))]
    assert list(as_table(edge))[-1].split()[1:5] == ["0", "0", "100", "120"]
    assert list(as_csv(edge))[-1].startswith("pixels,1,0.0,-0.3,100.0,120.0,")
    assert '"box": [0.0, -0.3, 100.0, 120.0]' in next(as_json(edge))


def test_intervals_that_nobody_checked_are_told_of(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank = tmp_path / "blank.png"
    blank.write_bytes(encode(np.full((90, 90, 3), 90, np.uint8), "PNG"))
    main(answered(model, str(blank)))
    assert capsys.readouterr().err == ""
    unchecked = tmp_path / "outputs"
    shutil.copytree(model, unchecked)
    ages = pd.read_csv(unchecked / "age/oof.csv", dtype=str).drop(columns=["true_age", "top_coded"])
    ages.to_csv(unchecked / "age/oof.csv", index=False)
    main(answered(unchecked, str(blank)))
    assert "has no ages" in capsys.readouterr().err


def test_programs_get_json(model: Path, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.json"
    main(answered(model, str(album), "--json", "--out", str(out)))
    told = json.loads(out.read_text())
    photographs = Predictor.load(model, device="cpu")(sorted(str(path) for path in album.rglob("*.[pjJ][nP][gG]")))
    assert [photograph["source"] for photograph in told] == [
        str(album / name) for name in ("a pair.png", "deep/one.JPG", "nobody.jpg")
    ]
    assert [len(photograph["faces"]) for photograph in told] == [2, 1, 0]
    assert told[0] == photographs[0].to_dict()


def test_programs_get_csv(model: Path, album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(answered(model, str(album), "--csv"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["face"] for row in rows] == ["1", "2", "1", ""]
    assert rows[3]["problem"] == "no face found"
    for row in rows[:3]:
        classes = [float(row[f"class_{number}"]) for number in range(18)]
        assert sum(classes) == pytest.approx(1, abs=1e-3)
        assert float(row["age_low"]) <= float(row["age"]) <= float(row["age_high"])
        assert float(row[f"mask_{row['mask']}"]) == max(
            float(row[f"mask_{name}"]) for name in ("worn", "incorrect", "none")
        )


def test_a_broken_file_is_named_the_others_are_answered_and_the_status_tells(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    good.write_bytes(files()[0])
    bad.write_bytes(files()[0][:5000])
    with pytest.raises(SystemExit) as stopped:
        main(answered(model, str(bad), str(tmp_path / "gone.jpg"), str(good), "--json"))
    assert stopped.value.code == 1
    told = capsys.readouterr()
    assert "bad.jpg: truncated" in told.err
    assert "gone.jpg: no such file" in told.err
    assert [len(photograph["faces"]) for photograph in json.loads(told.out)] == [0, 0, 1]


def test_standard_input_holds_a_photograph(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(files()[0])))
    main(answered(model, "-", "--json"))
    (photograph,) = json.loads(capsys.readouterr().out)
    assert photograph["source"] == "-"
    assert len(photograph["faces"]) == 1


def test_annotated_copies_show_boxes_in_the_colour_of_the_mask_state(
    model: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "drawn"
    main(answered(model, str(album), "--draw", str(drawn), "--json"))
    assert sorted(path.name for path in drawn.iterdir()) == ["a pair.jpg", "nobody.jpg", "one.jpg"]
    face = json.loads(capsys.readouterr().out)[0]["faces"][0]
    before, after = (cv2.imread(str(folder / name)) for folder, name in ((album, "a pair.png"), (drawn, "a pair.jpg")))
    assert after.shape == before.shape
    changed = np.abs(after.astype(int) - before).max(axis=2) > 60
    x0, y0, x1, _ = (round(value) for value in face["box"])
    assert changed[y0 - 1 : y0 + 2, x0 + 5 : x1 - 5].any(axis=0).mean() > 0.9
    assert not changed[: max(y0 - 6, 1)].any()


def test_files_are_answered_once_and_folders_in_the_order_of_names(album: Path) -> None:
    pair = str(album / "a pair.png")
    found = find_photographs([pair, str(album), pair])
    assert found == [pair, str(album / "deep/one.JPG"), str(album / "nobody.jpg")]


def test_copies_of_files_with_the_same_name_do_not_overwrite_each_other() -> None:
    names = drawn_files(["x/a.jpg", "y/a.png", "-"], Path("out"))
    assert list(names.values()) == [Path("out/a.jpg"), Path("out/a-2.jpg"), Path("out/stdin.jpg")]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "name photographs, folders of them, or -"),
        (["a.jpg", "--json", "--csv"], "--json and --csv"),
        (["a.jpg", "b.jpg", "--draw", "out.png"], "--draw out.png is one file"),
        (["a.jpg", "--batch-size", "0"], "--batch-size"),
        (["a.jpg", "--runtime", "onnx", "--device", "cuda"], "--runtime onnx runs on the CPU"),
        (["a.jpg", "--runtime", "onnx"], r"holds no .*onnx\. Make a bundle with .*--onnx"),
    ],
)
def test_what_cannot_be_done_is_said(model: Path, words: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        main(parse(Options(model=model), words))


def test_a_folder_without_photographs_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no photograph"):
        find_photographs([str(tmp_path)])
