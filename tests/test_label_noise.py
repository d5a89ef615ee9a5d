"""benchmarks/label_noise.py: how well whoever knew every true age would score."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.label_noise import Options, main
from shared.messages import UserError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ages from 18 to 75, evenly, none at the edge of a band."""
    (tmp_path / "train").mkdir()
    ages = np.linspace(18, 75, 200).round() + 0.5
    people = pd.DataFrame({"id": [str(at) for at in range(200)], "gender": ["male", "female"] * 100, "age": ages})
    people.to_csv(tmp_path / "train/train.csv", index=False)
    return tmp_path


def told(output: str) -> dict[str, float]:
    rows = [line.rsplit("  ", 1) for line in output.splitlines() if "[" in line]
    return {line.split("  ")[1].strip(): float(line.split("[")[0].split()[-1]) for line in map("  ".join, rows)}


def test_labels_almost_without_noise_allow_almost_everything(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(Options(data, apart=0.01, gender=1.0, draws=5))
    scores = list(told(capsys.readouterr().out).values())
    assert scores[0] == pytest.approx(0.007, abs=0.002)
    assert min(scores[1:]) > 0.98


def test_two_annotations_that_far_apart_are_each_off_by_their_share(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(Options(data, apart=8.0, persons=5000, draws=3))
    error, bands, *_ = told(capsys.readouterr().out).values()
    # Of normal errors: the mean difference of two is the mean of one times the root of 2.
    assert error == pytest.approx(8 / np.sqrt(2), rel=0.03)
    assert 0.6 < bands < 0.9


def test_noise_beyond_all_differences_of_age_is_refused(data: Path) -> None:
    with pytest.raises(UserError, match="would be noise alone"):
        main(Options(data, apart=60.0))
    with pytest.raises(UserError, match="--apart must be above 0"):
        Options(data, apart=0.0)
