import subprocess
import sys
from pathlib import Path

import pytest

from shared.messages import UserError
from shared.runs import Options, main
from shared.tracking import Record, append


def write(table: Path, task: str, score: float, lr: float, kind: str = "training", **more: object) -> str:
    entry = Record(
        kind=kind,
        task=task,
        run=Path(f"outputs/{task}-{lr:g}"),
        seconds=60,
        scores={"macro_f1": score, "mae_years": 10 * (1 - score)},
        options={"lr": lr, "size": 112, **more},
    )
    return append(table, entry)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "runs.csv"


def told(capsys: pytest.CaptureFixture[str], **options: object) -> list[list[str]]:
    """The words of the lines that are printed."""
    main(Options(**options))  # type: ignore[arg-type]
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_the_leaderboard_has_the_best_of_each_task_first(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [
        write(table, *run) for run in (("age", 0.6, 1e-3), ("mask", 0.9, 1e-3), ("age", 0.7, 3e-3), ("age", 0.5, 1.0))
    ]
    write(table, "age", 0.99, 1e-3, kind="fold")
    lines = told(capsys, table=table)
    assert [line[0] for line in lines if line] == ["age", "id", ids[2], ids[0], ids[3], "mask", "id", ids[1]]
    assert lines[2][1] == "0.7000"
    assert lines[2][-2:] == ["--lr", "0.003"]


def test_years_are_the_better_the_fewer_and_the_limit_is_kept(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [write(table, "age", score, 1e-3) for score in (0.5, 0.7, 0.6)]
    lines = told(capsys, table=table, sort="mae_years", limit=2)
    assert [line[0] for line in lines[2:]] == [ids[1], ids[2]]


def test_folds_are_shown_when_asked_for(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(table, "age", 0.6, 1e-3)
    fold = write(table, "age", 0.5, 1e-3, kind="fold")
    assert [line[0] for line in told(capsys, table=table, kind="fold", task="age")[2:]] == [fold]


def test_a_run_is_shown_whole_by_the_start_of_its_id_or_its_folder(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(table, "age", 0.5, 1e-3)
    name = write(table, "age", 0.6, 1e-3)
    write(table, "mask", 0.9, 1e-3)
    by_id = told(capsys, table=table, show=name)
    assert by_id == told(capsys, table=table, show="outputs/age-0.001")
    assert ["id", name] in by_id
    assert ["macro_f1", "0.6000"] in by_id
    assert ["--lr", "0.001"] in by_id


def test_a_difference_names_what_was_not_the_same(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write(table, "age", 0.5, 1e-3)
    second = write(table, "age", 0.625, 3e-3, extra="../extra")
    lines = told(capsys, table=table, diff=(first, second))
    assert ["differs", "in", first, second] in lines
    assert ["--lr", "0.001", "0.003"] in lines
    assert ["--extra", "null", "../extra"] in lines
    assert ["macro_f1", "0.5000", "0.6250", "+0.1250"] in lines
    assert not [line for line in lines if "--size" in line]


def test_runs_with_the_same_options_differ_in_nothing(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (write(table, "age", score, 1e-3) for score in (0.5, 0.6))
    assert ["nothing"] in told(capsys, table=table, diff=(first, second))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"show": "nosuch"}, "no run is called nosuch"),
        ({"task": "gender"}, "no run is of --task gender .* there are: training of age"),
        ({"sort": "f1"}, "--sort f1: no run has such a score; there are: macro_f1, mae_years"),
    ],
)
def test_a_question_without_an_answer_says_what_there_is(table: Path, options: dict[str, str], message: str) -> None:
    write(table, "age", 0.5, 1e-3)
    write(table, "age", 0.5, 1e-3)
    with pytest.raises(UserError, match=message):
        main(Options(table=table, **options))  # type: ignore[arg-type]


def test_the_start_of_two_ids_is_not_enough(table: Path) -> None:
    ids = [write(table, "age", 0.5, 1e-3) for _ in range(17)]
    start = next(name[0] for name in ids if sum(other[0] == name[0] for other in ids) > 1)
    with pytest.raises(UserError, match="is the start of"):
        main(Options(table=table, show=start))


def test_a_missing_or_empty_table_is_told(table: Path) -> None:
    with pytest.raises(UserError, match=r"runs.csv is missing: training and combine.py begin it"):
        main(Options(table=table))
    table.write_text("")
    with pytest.raises(UserError, match=r"has no run"):
        main(Options(table=table))


def test_two_questions_at_once_are_refused() -> None:
    with pytest.raises(UserError, match="--show and --diff exclude"):
        Options(show="a", diff=("a", "b"))


def test_the_command_prints_a_leaderboard(table: Path) -> None:
    name = write(table, "age", 0.5, 1e-3)
    command = [sys.executable, "-m", "shared.runs", "--table", str(table)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert name in ended.stdout
