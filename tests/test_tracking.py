"""What is sent to MLflow is what the table of runs says, read back with MLflow's own client."""

import logging
import warnings
from pathlib import Path

import pytest

from shared import tracking
from shared.messages import UserError
from shared.runs import read_runs
from shared.tracking import Record, record

ENTRY = Record(
    kind="fold",
    task="age",
    run=Path("outputs/age"),
    seconds=12.34,
    scores={"macro_f1": 0.71, "mae_years": 5.5, "unknown": float("nan")},
    options={"lr": 1e-3, "backbone": "b" * 300, "mean": None, **{f"option_{n}": n for n in range(120)}},
    data="29e9",
    fold=2,
)


def test_a_run_comes_back_as_it_is_on_record(tmp_path: Path) -> None:
    table = tmp_path / "outputs" / "runs.csv"
    record(ENTRY, table, "mlflow")
    record(ENTRY, table, "mlflow")
    row = read_runs(table).iloc[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{table.with_name('mlflow.db')}")
        experiment = client.get_experiment_by_name("age")
        assert experiment is not None
        runs = {run.data.tags["face18.id"]: run for run in client.search_runs([experiment.experiment_id])}
    assert len(runs) == 2
    run = runs[row["id"]]
    assert run.info.status == "FINISHED"
    assert run.data.metrics["macro_f1"] == 0.71
    assert run.data.metrics["seconds"] == 12.3
    assert "unknown" not in run.data.metrics
    assert run.data.params["lr"] == "0.001"
    assert run.data.params["backbone"] == "b" * 300
    assert run.data.params["option_119"] == "119"
    assert {run.data.tags[f"face18.{name}"] for name in ("kind", "fold", "data", "run")} == {
        *("fold", "2", "29e9", "outputs/age")
    }
    assert logging.root.manager.disable == logging.NOTSET


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking.importlib.util, "find_spec", lambda _: None)
    tracking.check("none")
    with pytest.raises(UserError, match=r"pip install 'face18\[track\]'"):
        tracking.check("mlflow")


def test_a_store_that_refuses_costs_no_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlflow.db").mkdir()
    record(ENTRY, tmp_path / "runs.csv", "mlflow")
    assert len(read_runs(tmp_path / "runs.csv")) == 1
    assert "mlflow.db refuses a run" in capsys.readouterr().err
