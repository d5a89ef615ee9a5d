"""Files that others made, cut or poisoned: refused with a word on the way out, and never unpickled."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pandas as pd
import pytest
import torch
from commands import Place, files_of
from tiny_crops import RECIPE as OTHER_RECIPE

import combine
from pipelines.gender.specialist import GENDER
from shared.crops import INDEX
from shared.messages import UserError
from shared.training.fit import load_checkpoint, save_checkpoint
from shared.training.inference import PredictOptions, predict
from shared.training.model import Network
from shared.training.run import train


@pytest.fixture
def run(undisturbed: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    copy = tmp_path / "run"
    shutil.copytree(undisturbed, copy)
    return copy


def predict_with(place: Place, run: Path) -> None:
    predict(GENDER, place.prediction(run, run.parent / "answers.csv"))


def fuse_with(place: Place, gender: Path) -> None:
    runs = place.folder / "runs"
    out = gender.parent / "submission.csv"
    combine.main(combine.Options(out, place.folder / "data", (runs / "mask",), (gender,), (runs / "age",)))


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, crater: Path):
        self._crater = crater

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self._crater,)


def train_in(place: Place, run: Path) -> None:
    train(GENDER, place.options(run))


@pytest.mark.parametrize(
    ("file", "use", "dump"),
    [
        ("fold0/weights.safetensors", predict_with, pickle.dump),
        ("fold0/weights.safetensors", train_in, torch.save),
        ("fold1/resume.pt", train_in, pickle.dump),
        ("fold1/resume.pt", train_in, torch.save),
        ("fold0/oof.csv", train_in, pickle.dump),
        ("run.json", train_in, pickle.dump),
        ("eval.csv", fuse_with, torch.save),
        ("oof.csv", fuse_with, pickle.dump),
    ],
)
def test_a_pickle_in_the_place_of_any_file_of_a_run_is_refused_and_does_not_go_off(
    place: Place,
    run: Path,
    tmp_path: Path,
    file: str,
    use: Callable[[Place, Path], None],
    dump: Callable[[object, IO[bytes]], None],
) -> None:
    crater = tmp_path / "crater"
    (run / "fold1/oof.csv").unlink()
    with (run / file).open("wb") as opened:
        dump(Bomb(crater), opened)
    with pytest.raises(UserError, match=file):
        use(place, run)
    assert not crater.exists()


def test_weights_cut_short_after_training_are_refused_with_the_fold_to_remove(place: Place, run: Path) -> None:
    weights = run / "fold0/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    for use in (predict_with, train_in):
        with pytest.raises(UserError, match=rf"{weights} is not a whole .*remove {weights.parent} and train"):
            use(place, run)


def test_held_out_predictions_that_lack_a_line_are_refused_with_the_fold_to_remove(place: Place, run: Path) -> None:
    oof = run / "fold0/oof.csv"
    oof.write_text("".join(oof.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=rf"{oof} does not hold predictions .*remove {oof.parent} and train"):
        train(GENDER, place.options(run))


@pytest.mark.parametrize("content", [b"", b"half a line", b"\0\n"], ids=["empty", "cut", "zero"])
def test_a_history_that_is_not_whole_is_refused_with_the_fold_to_remove(
    place: Place, run: Path, content: bytes
) -> None:
    history = run / "fold0/history.csv"
    for broken in (content, history.read_bytes()[:-1], b"".join(history.read_bytes().splitlines(True)[:-1])):
        history.write_bytes(broken)
        with pytest.raises(UserError, match=rf"{history} is not complete: remove {history.parent} and train"):
            train(GENDER, place.options(run))


def checkpoint_of(backbone: str) -> dict[str, object]:
    network = Network(backbone, 2, 0.0, pretrained=False).state_dict()
    return {"history": [], "network": network, "average": network, "optimizer": {}, "schedule": {}, "scaler": {}}


@pytest.mark.parametrize(
    "content", [checkpoint_of("test_resnet"), {}, {"history": [{"epoch": 0}]}], ids=["network", "empty", "history"]
)
def test_a_checkpoint_of_another_network_or_version_names_the_file_to_remove(
    place: Place, tmp_path: Path, content: dict[str, object]
) -> None:
    checkpoint = tmp_path / "run/fold0/resume.pt"
    save_checkpoint(checkpoint, content)
    with pytest.raises(UserError, match=rf"{checkpoint} is not of this training .*remove it"):
        train(GENDER, place.options(tmp_path / "run"))
    checkpoint.unlink()
    train(GENDER, place.options(tmp_path / "run").with_values(only_fold=0))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_checkpoint_cut_short_anywhere_names_the_file_to_remove(tmp_path: Path, share: float) -> None:
    checkpoint = tmp_path / "resume.pt"
    save_checkpoint(checkpoint, checkpoint_of("test_resnet"))
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"resume.pt cannot be read .*remove it"):
        load_checkpoint(checkpoint)


def other_crops(place: Place, tmp_path: Path) -> Path:
    """The same crops, but as if an older version had made them."""
    shutil.copytree(place.folder / "crops", tmp_path / "crops")
    for split in ("train", "eval"):
        index = tmp_path / "crops" / split / INDEX
        pd.read_csv(index, dtype={"image": str}).assign(recipe=OTHER_RECIPE).to_csv(index, index=False)
    return tmp_path / "crops"


def test_a_training_does_not_go_on_with_crops_of_another_recipe(place: Place, run: Path, tmp_path: Path) -> None:
    (run / "fold1/oof.csv").unlink()
    before = files_of(run)
    with pytest.raises(UserError, match=r"the crop recipe changed.*--overwrite"):
        train(GENDER, place.options(run).with_values(crops=other_crops(place, tmp_path)))
    assert files_of(run) == before


def test_predicting_with_weights_of_another_recipe_is_refused_before_crops_are_made_anew(
    place: Place, tmp_path: Path
) -> None:
    run, crops = tmp_path / "run", other_crops(place, tmp_path)
    train(GENDER, place.options(run).with_values(crops=crops, only_fold=0, epochs=1))
    before = (crops / "eval" / INDEX).read_bytes()
    with pytest.raises(UserError, match=rf"trained on crops of recipe {OTHER_RECIPE}, those that this version makes"):
        predict(GENDER, PredictOptions(place.folder / "data", crops, run, device="cpu", workers=0))
    assert (crops / "eval" / INDEX).read_bytes() == before


def test_splits_of_different_recipes_are_refused(place: Place, tmp_path: Path) -> None:
    crops = other_crops(place, tmp_path)
    shutil.rmtree(crops / "train")
    shutil.copytree(place.folder / "crops/train", crops / "train")
    with pytest.raises(UserError, match="recipe"):
        train(GENDER, place.options(tmp_path / "run").with_values(crops=crops, only_fold=0, epochs=1))
