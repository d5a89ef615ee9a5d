"""One file to ship: it answers as the runs do."""

import json
import shutil
from pathlib import Path

import pytest
from drawn_faces import files
from tiny_model import entries, write_model

from shared.bundle import Options, main
from shared.faces.alignment import RECIPE
from shared.messages import UserError
from shared.predictor import Predictor
from shared.predictor.bundle_file import CARD, MANIFEST


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "outputs", folds=2)


@pytest.fixture(scope="module")
def bundle(model: Path) -> Path:
    out = model.parent / "face18.zip"
    main(Options(out=out, model=model))
    return out


@pytest.fixture
def content(bundle: Path) -> dict[str, bytes]:
    return entries(bundle)


def test_a_bundle_answers_as_the_runs_that_it_was_made_of(model: Path, bundle: Path, tmp_path: Path) -> None:
    unpacked = tmp_path / "unpacked"
    main(Options(out=unpacked, model=model))
    expected = Predictor.load(model, device="cpu")(files()[:3])
    assert expected[0].faces
    assert Predictor.load(bundle, device="cpu")(files()[:3]) == expected
    assert Predictor.load(unpacked, device="cpu")(files()[:3]) == expected


def test_it_holds_weights_decisions_and_a_card_and_nothing_that_could_be_unpickled(content: dict[str, bytes]) -> None:
    weights = [f"{task}/0/fold{fold}.safetensors" for task in ("mask", "gender", "age") for fold in range(2)]
    assert set(content) == {MANIFEST, CARD, *weights}
    manifest = json.loads(content[MANIFEST])
    assert manifest["recipe"]["id"] == RECIPE.id
    assert manifest["recipe"]["size"] == 256
    assert manifest["age_interval"]["coverage"]["persons"] == 30
    assert "torch" in manifest["about"]["provenance"]["versions"]


def test_the_card_tells_scores_by_group_limits_and_use(content: dict[str, bytes]) -> None:
    card = content[CARD].decode()
    for words in (
        "## Scores",
        "all 18 classes",
        "incorrect",
        "male <30",
        "female",
        "## Limits",
        "Not for",
        "80 % interval",
    ):
        assert words in card
    # Every score comes with an interval, 0.xxx [0.xxx, 0.xxx], and that of a share has a width.
    row = next(line for line in card.splitlines() if line.startswith("| gender |"))
    for cell in row.split("|")[2:4]:
        value, low, high = (float(number.strip("[],")) for number in cell.split())
        assert low <= value <= high
    for row in card.splitlines():
        if row.startswith(("| worn |", "| male", "| female")):
            for cell in row.split("|")[3:7]:
                _, low, high = (float(number.strip("[],")) for number in cell.split())
                assert high - low > 0.05


def test_several_runs_of_a_specialist_are_averaged(model: Path, tmp_path: Path) -> None:
    twin = tmp_path / "age"
    shutil.copytree(model / "age", twin)
    main(Options(out=tmp_path / "twins.zip", model=model, age=(model / "age", twin)))
    one, both = Predictor.load(model, device="cpu"), Predictor.load(tmp_path / "twins.zip", device="cpu")
    assert len(both.specialists["age"].networks) == 2 * len(one.specialists["age"].networks)
    assert both(files()[:1])[0].faces[0].age.years == pytest.approx(one(files()[:1])[0].faces[0].age.years)


def test_without_held_out_predictions_nothing_is_learnt_and_the_card_says_so(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "outputs"
    shutil.copytree(model, copy)
    (copy / "age/oof.csv").unlink()
    main(Options(out=tmp_path / "plain.zip", model=copy))
    predictor = Predictor.load(tmp_path / "plain.zip", device="cpu")
    assert set(predictor.contents.decisions.fitted_rule.temperatures.values()) == {1.0}
    assert "not known" in predictor.card


def test_a_folder_of_somebody_else_is_not_written_into(model: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something other"):
        main(Options(out=tmp_path, model=model))
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
