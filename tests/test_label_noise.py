"""benchmarks/label_noise.py: the ceiling that noisy age labels set."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.label_noise import Options, main


def test_a_perfect_model_has_the_mean_error_of_normal_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train").mkdir()
    ages = np.linspace(18, 75, 200).round() + 0.5
    people = pd.DataFrame({"id": [str(at) for at in range(200)], "gender": ["male", "female"] * 100, "age": ages})
    people.to_csv(tmp_path / "train/train.csv", index=False)
    main(Options(tmp_path, apart=8.0, persons=5000, draws=3))
    [error, bands, *_] = [
        line.split("[")[0].split()[-1] for line in capsys.readouterr().out.splitlines() if "[" in line
    ]
    # The mean difference of two normal errors is the mean of one times the root of 2.
    assert float(error) == pytest.approx(8 / np.sqrt(2), rel=0.03)
    assert 0.6 < float(bands) < 0.9
