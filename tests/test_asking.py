from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from pipelines.gender.specialist import GENDER
from shared.crops import CropSet
from shared.experiments import measure as asking
from shared.experiments.measure import ask_once
from shared.training.options import TrainOptions


@pytest.fixture
def crops(tmp_path: Path) -> CropSet:
    index = pd.DataFrame({"fingerprint": ["f0", "f1"]}, index=pd.Index(["a", "b"], name="image"))
    return CropSet(tmp_path, "recipe", index)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The views of every time that networks had to answer."""
    times: list[str] = []

    def answer(specialist: object, weights: object, crops: CropSet, tta: str, *how: object) -> pd.DataFrame:
        del specialist, weights, how
        times.append(tta)
        share = len(times) / 10
        return pd.DataFrame({"image": crops.index.index, "male": share, "female": 1 - share})

    monkeypatch.setattr(asking, "answer", answer)
    return times


@pytest.fixture
def weights(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"fold{fold}.safetensors" for fold in range(2)]
    for path in paths:
        path.write_bytes(b"one network")
    return paths


def test_the_same_networks_are_asked_once(
    weights: list[Path], crops: CropSet, asked: list[str], tmp_path: Path
) -> None:
    seconds = [ask_once(GENDER, weights, crops, "flip", TrainOptions(), tmp_path / "eval.csv") for _ in range(2)]
    assert asked == ["flip"]
    assert seconds[0] == seconds[1]


@pytest.mark.parametrize("changed", ["a network", "a fold less", "an image", "the tta", "no answers"])
def test_what_others_answered_is_not_taken_for_theirs(
    changed: str, weights: list[Path], crops: CropSet, asked: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "eval.csv"
    ask_once(GENDER, weights, crops, "flip", TrainOptions(), file)
    before = file.read_text()
    if changed == "a network":
        weights[1].write_bytes(b"another one")
    if changed == "a fold less":
        weights.pop()
    if changed == "an image":
        crops = replace(crops, index=crops.index.assign(fingerprint=["f0", "drawn anew"]))
    if changed == "no answers":
        file.unlink()
    ask_once(GENDER, weights, crops, "none" if changed == "the tta" else "flip", TrainOptions(), file)
    assert len(asked) == 2
    assert file.read_text() != before
