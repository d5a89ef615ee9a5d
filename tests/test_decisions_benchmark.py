import subprocess
import sys
from pathlib import Path

import pandas as pd
from synthetic_predictions import held_out_predictions

from shared.fusion.fusion import SPECIALISTS
from shared.fusion.predictions import write_predictions

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "decisions.py"


def benchmark(outputs: Path, *more: str) -> subprocess.CompletedProcess[str]:
    folders = [word for task in SPECIALISTS for word in (f"--{task}", str(outputs / task))]
    command = [sys.executable, str(BENCHMARK), *folders, "--repeats", "2", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_way_is_scored_for_each_number_of_persons(tmp_path: Path) -> None:
    held_out = held_out_predictions(20, doubt=0.3)
    for task in SPECIALISTS:
        known = pd.DataFrame({"person": held_out.persons, "fold": held_out.folds, "truth": held_out.truth[task]})
        write_predictions(tmp_path / task / "oof.csv", known.join(held_out.predictions[task]))
    told = benchmark(tmp_path, "--learn-on", "5", "9", "--average").stdout
    assert "learnt on 5 of 20 persons" in told
    assert told.count("f1, tuned thresholds, calibrated") == told.count("bands alone, mean, tuned") == 2
    refused = benchmark(tmp_path, "--learn-on", "20")
    assert refused.returncode == 2
    assert "--learn-on must be less than the 20 persons" in refused.stderr
