"""The table of runs, the origin of results, and what MLflow receives, read back with MLflow's own client."""

import logging
import multiprocessing
import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from shared import tracking
from shared.messages import UserError
from shared.runs import Options, main
from shared.tracking import Record, append, is_recorded, origin, read_runs, record

ENTRY = Record(
    kind="fold",
    task="age",
    run=Path("outputs/age"),
    seconds=12.34,
    scores={"macro_f1": 0.712345678, "mae_years": 5.5},
    options={"lr": 1e-3, "fixes": (Path("a, b.csv"),), "mean": None, "note": 'says "so"'},
    data="29e9",
    recipe="3cac",
    fold=2,
    seed=0,
)


def append_many(table: Path, count: int) -> None:
    for number in range(count):
        append(table, replace(ENTRY, fold=number))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    name = append(tmp_path / "runs.csv", ENTRY)["id"]
    row = read_runs(tmp_path / "runs.csv").iloc[0]
    assert row["id"] == name
    assert (row["kind"], row["task"], row["run"], row["fold"], row["seed"]) == ("fold", "age", "outputs/age", "2", "0")
    assert row["scores"] == {"macro_f1": 0.712346, "mae_years": 5.5}
    assert row["options"] == {"lr": 1e-3, "fixes": ["a, b.csv"], "mean": None, "note": 'says "so"'}
    assert (row["data"], row["recipe"], row["seconds"]) == ("29e9", "3cac", "12.3")
    assert int(row["memory_mib"]) > 10
    assert row["command"]
    assert row["time"].startswith("20")


def test_a_score_that_is_no_number_is_kept_as_missing(tmp_path: Path) -> None:
    append(tmp_path / "runs.csv", replace(ENTRY, scores={"macro_f1": float("nan")}))
    assert read_runs(tmp_path / "runs.csv").iloc[0]["scores"] == {"macro_f1": None}


def test_rows_of_several_processes_are_all_there_and_whole(tmp_path: Path) -> None:
    table = tmp_path / "deep" / "runs.csv"
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=append_many, args=(table, 8)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    rows = read_runs(table)
    assert len(rows) == rows["id"].nunique() == 24
    assert sorted(rows["fold"]) == sorted(str(number) for number in range(8) for _ in range(3))
    lines = table.read_text().splitlines()
    assert len(lines) == 25
    assert sum(line.startswith("id,time") for line in lines) == 1


@pytest.mark.parametrize("kept", [0.1, 0.95])
def test_a_row_cut_short_costs_no_other(tmp_path: Path, kept: float) -> None:
    table = tmp_path / "runs.csv"
    first = append(table, ENTRY)["id"]
    before = table.read_bytes()
    append(table, ENTRY)
    row = table.read_bytes()[len(before) :]
    table.write_bytes(before + row[: int(len(row) * kept)])
    last = append(table, ENTRY)["id"]
    assert read_runs(table)["id"].tolist() == [first, last]


def test_another_table_of_that_name_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "runs.csv"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"runs.csv has other columns .* move it away"):
        append(table, ENTRY)
    record(ENTRY, table)
    assert table.read_text() == "a,b\n1,2\n"
    record(replace(ENTRY, run=tmp_path / "runs.csv" / "age"))
    said = capsys.readouterr().err
    assert "warning: this run is not on record: " in said
    assert "runs.csv/runs.csv cannot be written" in said


def test_the_origin_of_runs_is_that_of_their_run_json(tmp_path: Path) -> None:
    for name, recipe in (("mask", "r1"), ("age", "r2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(f'{{"data": "d", "recipe": "{recipe}"}}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text('["no"')
    assert origin([tmp_path / name for name in ("mask", "none", "age", "broken")]) == ("d", "r1 r2")


def test_a_row_is_found_again_by_what_it_records(tmp_path: Path) -> None:
    entry = replace(ENTRY, run=tmp_path / "age")
    record(entry)
    assert is_recorded(replace(entry, run=Path("elsewhere/age"), seed=7), tmp_path / "runs.csv")
    assert not is_recorded(replace(entry, fold=3))
    assert not is_recorded(replace(entry, scores={"macro_f1": 0.5}))


SENT = Record(
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
    record(SENT, table, "mlflow")
    record(SENT, table, "mlflow")
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
    record(SENT, tmp_path / "runs.csv", "mlflow")
    assert len(read_runs(tmp_path / "runs.csv")) == 1
    assert "mlflow.db refuses a run" in capsys.readouterr().err


def write(table: Path, task: str, score: float, lr: float = 1e-3, kind: str = "training", **more: object) -> str:
    """Append a run and return its id."""
    scores = {"macro_f1": score, "mae_years": 10 * (1 - score)}
    options = {"lr": lr, "size": 112, **more}
    return append(table, Record(kind, task, Path(f"outputs/{task}-{lr:g}"), 60, scores, options))["id"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "runs.csv"


def printed(capsys: pytest.CaptureFixture[str], **options: object) -> list[list[str]]:
    """The words of the printed lines."""
    main(Options(**options))  # type: ignore[arg-type]
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_leaderboard_has_the_best_of_each_task_first(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [write(table, *run) for run in (("age", 0.6), ("mask", 0.9), ("age", 0.7, 3e-3), ("age", 0.5, 1.0))]
    fold = write(table, "age", 0.99, kind="fold")
    lines = printed(capsys, table=table)
    assert [line[0] for line in lines if line] == ["age", "id", ids[2], ids[0], ids[3], "mask", "id", ids[1]]
    assert lines[2][1] == "0.7000"
    assert lines[2][-2:] == ["--lr", "0.003"]
    # Fewer years are better; folds are listed on request.
    fewest = printed(capsys, table=table, sort="mae_years", limit=2, task="age")
    assert [line[0] for line in fewest[2:]] == [ids[2], ids[0]]
    assert [line[0] for line in printed(capsys, table=table, kind="fold", task="age")[2:]] == [fold]


def test_a_run_is_shown_by_the_start_of_its_id_or_its_folder(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(table, "age", 0.5)
    name = write(table, "age", 0.6)
    write(table, "mask", 0.9)
    by_id = printed(capsys, table=table, show=name)
    assert by_id == printed(capsys, table=table, show="outputs/age-0.001")
    assert [line for line in by_id if line[:1] == ["id"]] == [["id", name]]
    assert ["macro_f1", "0.6000"] in by_id
    assert ["--lr", "0.001"] in by_id


def test_a_difference_names_options_and_scores_that_differ(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(table, "age", 0.5)
    second = write(table, "age", 0.625, 3e-3, extra="../extra")
    lines = printed(capsys, table=table, diff=(first, second))
    for line in (
        ["differs", "in", first, second],
        ["--lr", "0.001", "0.003"],
        ["--extra", "null", "../extra"],
        ["macro_f1", "0.5000", "0.6250", "+0.1250"],
    ):
        assert line in lines
    assert not [line for line in lines if "--size" in line]
    assert ["nothing"] in printed(capsys, table=table, diff=(first, first))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"show": "nosuch"}, "no run is called nosuch"),
        ({"task": "gender"}, "no run is of --task gender .* there are: training of age"),
        ({"sort": "f1"}, "--sort f1: no run has such a score; there are: macro_f1, mae_years"),
    ],
)
def test_a_request_without_a_result_says_what_there_is(table: Path, options: dict[str, str], message: str) -> None:
    write(table, "age", 0.5)
    with pytest.raises(UserError, match=message):
        main(Options(table=table, **options))  # type: ignore[arg-type]


def test_the_start_of_two_ids_is_not_enough(table: Path) -> None:
    starts = [write(table, "age", 0.5)[0] for _ in range(17)]  # There are 16 hexadecimal digits.
    with pytest.raises(UserError, match="is the start of"):
        main(Options(table=table, show=next(start for start in starts if starts.count(start) > 1)))


def test_two_requests_at_once_are_refused() -> None:
    with pytest.raises(UserError, match="--show and --diff exclude"):
        Options(show="a", diff=("a", "b"))
