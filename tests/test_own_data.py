"""The commands of docs/own_data.md as they are typed there, then the scripts of examples/, on drawn faces.

All in one process, for starting one takes longest; and watched, for no image may leave the machine.
"""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from drawn_faces import files
from tiny_competition import write_csv
from watched import ROOT, Watched

from examples import own_folder
from examples.own_folder import Options
from shared.manifest import load_evaluation, load_training
from shared.messages import UserError

PAGE = (ROOT / "docs/own_data.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python (.*)$", PAGE, flags=re.MULTILINE)
EXAMPLES = [
    "combine.py --data data --out scored.csv --truth data/eval_solution.csv --figures outputs/figures",
    "examples/predict_photographs.py --model outputs --photographs unlabelled/0.jpg unlabelled/1.jpg",
    "examples/errors_by_group.py --outputs outputs --csv errors.csv",
    "examples/tour_images.py --data data --outputs outputs --crops crops --out images",
    "shared/sample_data.py --people 6 --eval-people 0 --out drawn",
]
TINY = "--folds 2 --epochs 1 --size 32 --batch-size 4 --backbone test_efficientnet --no-pretrained --device cpu"
MASKS = ("worn", "incorrect", "none")


def tiny(command: str) -> str:
    """The command as it stands, with less to do; the crop stage with two workers, for those have to be watched too."""
    for words, more in ((".train ", TINY), (".predict ", "--device cpu"), ("crop_faces.py ", "--workers 2")):
        if words in command:
            return f"{command} {more}"
    return command


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Twelve photographs of six persons, each with a mask worn and without or wrongly, and two to be answered."""
    watched = Watched(tmp_path_factory.mktemp("own") / "here")
    rows = []
    for number, content in enumerate(files()[:12]):
        person = number // 2
        name = f"p{person}/{number}.jpg"
        mask = "worn" if number % 2 else MASKS[1 + person % 2]
        gender, age = ("male", "female")[person % 2], (22, 41, 66)[person // 2]
        rows.append({"file": name, "person": f"p{person}", "gender": gender, "age": age, "mask": mask})
        (watched.folder / "photographs" / name).parent.mkdir(parents=True, exist_ok=True)
        (watched.folder / "photographs" / name).write_bytes(content)
    write_csv(watched.folder / "people.csv", list(rows[0]), rows)
    (watched.folder / "unlabelled").mkdir()
    for number, content in enumerate(files()[12:]):
        (watched.folder / "unlabelled" / f"{number}.jpg").write_bytes(content)
    truth = [{"ImageID": f"{number}.jpg", "ans": 8, "age": 66} for number in range(2)]
    write_csv(watched.folder / "data/eval_solution.csv", list(truth[0]), truth)
    watched.run([*map(tiny, COMMANDS), *EXAMPLES])
    return watched


def test_its_commands_answer_for_every_photograph(done: Watched) -> None:
    submission = pd.read_csv(done.folder / "submission.csv")
    assert submission["ImageID"].tolist() == ["0.jpg", "1.jpg"]
    assert submission["ans"].between(0, 17).all()
    assert pd.read_csv(done.folder / "ages.csv")["age"].between(0, 100).all()
    assert len(load_training(done.folder / "drawn/train")) == 6 * 7
    table = load_training(done.folder / "data/train")
    assert table.groupby("person")["kind"].agg(list).tolist() == [
        ["mask1", "incorrect_mask" if person % 2 == 0 else "normal"] for person in range(6)
    ]


def test_every_script_of_examples_is_run_and_says_what_it_shows_and_how_to_run_it() -> None:
    scripts = sorted(ROOT.glob("examples/*.py"))
    assert len(scripts) > 3
    for script in scripts:
        if script.name != "__init__.py":
            assert f"examples/{script.name}" in " ".join([*COMMANDS, *EXAMPLES])
            about = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
            assert about is not None
            assert f"    python examples/{script.name}" in about


def test_examples_leave_what_they_say(done: Watched) -> None:
    rows = pd.read_csv(done.folder / "errors.csv")
    assert rows["group"].tolist()[:4] == ["all", "mask worn", "mask incorrect", "mask none"]
    assert len(rows) == 1 + 3 + 2 + 3 + 18
    assert rows["persons"][0] == 6
    images = {path.name for path in (ROOT / "docs/images").iterdir()}
    assert {path.name for path in (done.folder / "images").iterdir()} <= images


def test_images_of_the_docs_are_small_and_linked() -> None:
    docs = " ".join(page.read_text(encoding="utf-8") for page in (*ROOT.glob("docs/*.md"), ROOT / "README.md"))
    for image in (ROOT / "docs/images").iterdir():
        assert image.stat().st_size < 150_000, image
        assert f"images/{image.name}" in docs


def test_crop_train_predict_and_combine_open_no_socket(done: Watched) -> None:
    assert done.processes > 1, "workers of the crop stage are watched too"
    assert done.sockets == ""


def write_table(folder: Path, rows: list[dict[str, str]]) -> Options:
    """A people.csv, and an empty image for each of its rows."""
    write_csv(folder / "people.csv", list(rows[0]), rows)
    for row in rows:
        (folder / "photographs" / row["file"]).parent.mkdir(parents=True, exist_ok=True)
        (folder / "photographs" / row["file"]).touch()
    return Options(folder / "people.csv", folder / "photographs", None, folder / "data")


def test_without_persons_and_masks_every_photograph_is_somebody_bare(tmp_path: Path) -> None:
    rows = [{"file": f"{n}.JPG", "gender": "male", "age": "30", "hat": "yes"} for n in range(3)]
    own_folder.main(write_table(tmp_path, rows))
    table = load_training(tmp_path / "data/train")
    assert table["person"].tolist() == ["0.JPG", "1.JPG", "2.JPG"]
    assert table["kind"].tolist() == ["normal"] * 3
    assert table["hat"].tolist() == ["yes"] * 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mask": "half"}, "row 2: mask 'half' is none of"),
        ({"file": "a.txt"}, r"row 2: .*a\.txt has none of the suffixes"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, change: dict[str, str], told: str) -> None:
    row = {"file": "a.jpg", "gender": "male", "age": "30", "mask": "none"} | change
    with pytest.raises(UserError, match=told):
        own_folder.main(write_table(tmp_path, [row]))


def test_unlabelled_photographs_are_found_wherever_they_are_and_all_else_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = write_table(tmp_path, [{"file": "a.jpg", "gender": "male", "age": "30"}])
    more = tmp_path / "more"
    for name in ("a.JPG", "b/c.jfif", "__MACOSX/._a.JPG", "._a.JPG", "notes.txt"):
        (more / name).parent.mkdir(parents=True, exist_ok=True)
        (more / name).write_bytes(files()[0])
    own_folder.main(replace(options, unlabelled=more))
    assert load_evaluation(tmp_path / "data/eval")["image"].tolist() == ["a.JPG", "b/c.jfif"]
    assert "3 files not read as images" in capsys.readouterr().out
