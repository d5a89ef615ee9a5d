"""`python -m shared.predict`: a table, JSON, CSV, annotated copies, and what goes wrong."""

import csv
import io
import json
import os
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

from shared.commands import parse, run
from shared.messages import UserError
from shared.predict import Options, find_photographs, main
from shared.predictor import Predictor
from shared.predictor.drawing import COLOURS, draw


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


def options(model: Path, *words: str) -> Options:
    return parse(Options(), [*words, "--model", str(model), "--device", "cpu"])


def test_the_table_has_a_line_for_each_photograph_and_each_face(
    model: Path, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(options(model, str(album)))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "model: outputs, trained on drawings",
        f"{album}/a pair.png: 768 x 512, 2 faces",
        f"{album}/deep/one.JPG: 384 x 512, 1 face",
        f"{album}/nobody.jpg: 300 x 200, no face found",
    ]
    rows = [line for line in lines if line.startswith("  ") and line[2].isdigit()]
    assert sorted(row[:10].strip().removesuffix(" (main)") for row in rows) == ["1", "1", "2"]
    assert sum("(main)" in row for row in rows) == 1


def test_json_equals_what_the_predictor_returns(model: Path, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "predictions.json"
    main(options(model, str(album), "--out", str(out)))
    written = json.loads(out.read_text())
    names = ["a pair.png", "deep/one.JPG", "nobody.jpg"]
    assert [photograph["source"] for photograph in written] == [str(album / name) for name in names]
    assert [len(photograph["faces"]) for photograph in written] == [2, 1, 0]
    assert written[0] == Predictor.load(model, device="cpu")(album / names[0])[0].to_dict()


def test_csv_has_a_row_for_each_face_and_for_a_photograph_without(
    model: Path, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(options(model, str(album), "--format", "csv"))
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["face"] for row in rows] == ["1", "2", "1", ""]
    assert rows[3]["problem"] == "no face found"
    for row in rows[:3]:
        assert sum(float(row[f"class_{number}"]) for number in range(18)) == pytest.approx(1, abs=1e-3)
        assert float(row["age_low"]) <= float(row["age"]) <= float(row["age_high"])
        masks = {name: float(row[f"mask_{name}"]) for name in ("worn", "incorrect", "none")}
        assert masks[row["mask"]] == max(masks.values())


def test_a_note_says_that_age_intervals_were_not_checked(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank = tmp_path / "blank.png"
    blank.write_bytes(encode(np.full((90, 90, 3), 90, np.uint8), "PNG"))
    main(options(model, str(blank)))
    assert capsys.readouterr().err == ""
    unchecked = tmp_path / "outputs"
    shutil.copytree(model, unchecked)
    ages = pd.read_csv(unchecked / "age/oof.csv", dtype=str).drop(columns=["true_age", "top_coded"])
    ages.to_csv(unchecked / "age/oof.csv", index=False)
    main(options(unchecked, str(blank)))
    assert "was not measured" in capsys.readouterr().err


def test_a_broken_file_is_named_the_others_are_predicted_and_the_status_is_1(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    good.write_bytes(files()[0])
    bad.write_bytes(files()[0][:5000])
    with pytest.raises(SystemExit) as stopped:
        main(options(model, str(bad), str(tmp_path / "gone.jpg"), str(good), "--format", "json"))
    assert stopped.value.code == 1
    printed = capsys.readouterr()
    assert "bad.jpg: truncated" in printed.err
    assert "gone.jpg: no such file" in printed.err
    assert [len(photograph["faces"]) for photograph in json.loads(printed.out)] == [0, 0, 1]


def test_standard_input_holds_a_photograph(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(files()[0])))
    main(options(model, "-", "--format", "json"))
    (photograph,) = json.loads(capsys.readouterr().out)
    assert photograph["source"] == "-"
    assert len(photograph["faces"]) == 1


def test_standard_input_holds_paths_a_line_each_also_of_folders(
    model: Path, album: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = f"{album / 'deep'}\n\n{album / 'a pair.png'}\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    main(options(model, str(album / "nobody.jpg"), "-", "--format", "jsonl"))
    photographs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = ["nobody.jpg", "deep/one.JPG", "a pair.png"]
    assert [photograph["source"] for photograph in photographs] == [str(album / name) for name in names]
    assert [len(photograph["faces"]) for photograph in photographs] == [0, 1, 2]


@pytest.mark.parametrize(("name", "first"), [("x.csv", "source,"), ("x.json", "[{"), ("x.JSONL", "{"), ("x", "mod")])
def test_the_suffix_of_out_names_the_format(
    model: Path, album: Path, monkeypatch: pytest.MonkeyPatch, name: str, first: str
) -> None:
    monkeypatch.chdir(album)
    main(options(model, "nobody.jpg", "--out", name))
    assert Path(name).read_text().startswith(first)


def test_annotated_copies_show_boxes_in_the_colour_of_the_mask_state(
    model: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "drawn"
    main(options(model, str(album), "--draw", str(drawn), "--format", "json"))
    assert sorted(path.name for path in drawn.iterdir()) == ["a pair.jpg", "nobody.jpg", "one.jpg"]
    face = json.loads(capsys.readouterr().out)[0]["faces"][0]
    before, after = (cv2.imread(str(folder / name)) for folder, name in ((album, "a pair.png"), (drawn, "a pair.jpg")))
    assert after.shape == before.shape
    changed = np.abs(after.astype(int) - before).max(axis=2) > 60
    x0, y0, x1, _ = (round(value) for value in face["box"])
    assert changed[y0 - 1 : y0 + 2, x0 + 5 : x1 - 5].any(axis=0).mean() > 0.9
    assert not changed[: max(y0 - 6, 1)].any()


def test_the_box_of_a_face_that_fills_the_photograph_shows(model: Path) -> None:
    (photograph,) = Predictor.load(model, device="cpu")(bare().pixels)
    filling = replace(photograph, faces=(replace(photograph.faces[0], box=(-40.0, -60.0, 500.0, 700.0)),))
    drawn = draw(np.zeros((512, 384, 3), np.uint8), filling)
    colour = COLOURS[photograph.faces[0].mask.name]
    for edge in (drawn[0], drawn[:, 0], drawn[:, -1]):
        assert (edge == colour).all(axis=-1).mean() > 0.5


def test_each_file_is_predicted_once_and_a_folder_in_the_order_of_paths(album: Path) -> None:
    pair = str(album / "a pair.png")
    found = [pair, str(album / "deep/one.JPG"), str(album / "nobody.jpg")]
    assert find_photographs([pair, str(album), pair]) == found


def test_each_photograph_names_its_copy(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = [tmp_path / name for name in ("x/a.jpg", "y/a.jpg", f"{'long' * 60}.jpg", "broken.jpg")]
    for source in sources:
        source.parent.mkdir(exist_ok=True)
        source.write_bytes(b"" if source.stem == "broken" else files()[0])
    with pytest.raises(SystemExit):
        main(options(model, *map(str, sources), "--draw", str(tmp_path / "drawn"), "--format", "csv"))
    drawn = [row["drawn"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert len(set(drawn)) == 4
    assert drawn[3] == ""
    assert {Path(name) for name in drawn[:3]} == set((tmp_path / "drawn").iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["album", "--draw", "album"],
        ["album", "--draw", "link to album"],
        ["album/nobody.jpg", "--draw", "album/nobody.jpg"],
        ["album", "--out", "album/a pair.png"],
        ["album", "--out", "hard link.png"],
        ["album", "--draw", "drawn.jpg", "--out", "drawn.jpg"],
        ["album/nobody.jpg", "--draw", "drawn", "--out", "drawn/nobody.jpg"],
        ["album", "--out", "outputs/age/oof.csv"],
    ],
)
def test_output_that_would_overwrite_its_input_is_refused_before_any_work(
    album: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(album.parent)
    Path("outputs").mkdir()
    Path("link to album").symlink_to("album")
    Path("hard link.png").hardlink_to("album/a pair.png")
    before = {path: path.read_bytes() for path in album.rglob("*.*")}
    with pytest.raises(UserError, match=r"would overwrite its input|names? (a folder|another place)"):
        main(parse(Options(model=Path("outputs")), words))
    assert {path: path.read_bytes() for path in album.rglob("*.*")} == before


@pytest.mark.parametrize(("form", "encoding"), [("json", "ascii"), ("csv", "cp949")])
def test_names_that_an_output_cannot_express_are_escaped(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, encoding: str
) -> None:
    names = [b"caf\xe9 \xf0\x9f\x98\x80.jpg", "Zoë.jpg".encode()]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(encode(np.full((90, 90, 3), 90, np.uint8)))
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output, encoding))
    run(main, options(model, str(tmp_path), "--format", form), [])
    printed = output.getvalue().decode(encoding)
    if form == "json":
        assert {photograph["source"] for photograph in json.loads(printed)} == {
            str(tmp_path / os.fsdecode(name)) for name in names
        }
    else:
        assert len(printed.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "name photographs, folders of them, or -"),
        (["clip.mp4", "--draw", "drawn"], "--draw makes copies of photographs"),
        (["clip.mp4", "--fps", "0"], "--fps must be above 0"),
        (["webcam", "--out", "faces.json"], "--format jsonl"),
        (["a.jpg", "b.jpg", "--draw", "out.png"], "--draw out.png is one file"),
        (["a.jpg", "--batch-size", "0"], "--batch-size"),
        (["a.jpg", "--runtime", "onnx", "--device", "cuda"], "--runtime onnx runs on the CPU"),
        (["a.jpg", "--runtime", "onnx"], r"holds no .*onnx\. Make a bundle with .*--onnx"),
        (["empty"], "empty holds no photograph"),
    ],
)
def test_unusable_options_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], reason: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=reason):
        main(parse(Options(model=model), words))
