from pathlib import Path

import pytest

from shared.messages import UserError
from shared.runs import Options, main
from shared.tracking import Record, append


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
