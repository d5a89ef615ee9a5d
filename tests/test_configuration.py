"""Options in a file: `--config`, and what a tuning writes for it."""

from pathlib import Path

import pytest

from pipelines.age.options import DEFAULTS
from shared.commands import as_toml, parse
from shared.messages import UserError
from shared.training.options import TrainOptions


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "best.toml"


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(file: Path) -> None:
    file.write_text('lr = 0.2\nbackbone = "deep"\nwindow = [0.9, 0.5, 0.5]\nbalance = true\n')
    options = parse(TrainOptions(), ["--config", str(file), "--lr", "0.3"])
    assert options == TrainOptions.of(lr=0.3, backbone="deep", window=(0.9, 0.5, 0.5), balance=True, config=file)


@pytest.mark.parametrize(
    ("words", "lr", "balance", "extra"),
    [
        (["--lr", "0.3"], 0.3, True, "ab"),
        (["--lr=0.3", "--extra", "c"], 0.3, True, "c"),
        (["--no-balance", "--extra", "c", "--extra", "d"], 0.2, False, "cd"),
    ],
)
def test_options_named_on_the_command_line_are_not_taken_from_the_file_at_all(
    file: Path, words: list[str], lr: float, balance: bool, extra: str
) -> None:
    file.write_text('lr = 0.2\nbalance = true\nextra = ["a", "b"]\n')
    options = parse(TrainOptions(), ["--config", str(file), *words])
    assert (options.optimisation.lr, options.sampling.balance) == (lr, balance)
    assert options.data.extra == tuple(map(Path, extra))


def test_file_and_command_line_are_judged_together(file: Path) -> None:
    file.write_text('extra_epochs = 5\nbackbone = "resnet18"\n')
    assert parse(TrainOptions(), ["--config", str(file), "--extra", "a"]).optimisation.extra_epochs == 5
    with pytest.raises(UserError, match=r"--extra-epochs .*needs --extra"):
        parse(TrainOptions(), ["--config", str(file)])


@pytest.mark.parametrize("task", ["mask", "age"])
def test_shipped_recipes_are_taken_with_the_folder_they_are_for(task: str, tmp_path: Path) -> None:
    beside = Path(__file__).parents[1] / "pipelines" / task
    defaults = DEFAULTS if task == "age" else TrainOptions()
    options = parse(defaults, ["--config", "with_extra", "--extra", str(tmp_path), "--epochs", "3"], beside)
    assert options.optimisation.extra_epochs > 0
    assert options.optimisation.epochs == 3
    assert options.data.extra == (tmp_path,)
    assert not options.model.trains_head_alone


def test_what_is_written_is_read_again(file: Path) -> None:
    values = {"lr": 1e-05, "backbone": 'a "b" \\ c', "window": (1.0, 0.5, 0.5), "balance": False, "nothing": None}
    file.write_text(as_toml(values))
    del values["nothing"]
    assert parse(TrainOptions.of(balance=True), ["--config", str(file)]) == TrainOptions.of(**values, config=file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("window_ = 1", r"best.toml: there is no option window_; similar: window"),
        ("overwrite = true", r"there is no option overwrite"),
        ('backbone = "--overwrite"', r"best.toml: backbone must be"),
        ("lr = {a = 1}", r"best.toml: lr must be"),
        ("lr =", r"best.toml is no readable TOML file"),
        ("lr = -1", r"--lr must be"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        parse(TrainOptions(), ["--config", str(file)])


def test_a_value_of_another_type_names_its_flag_and_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('lr = "much"')
    with pytest.raises(SystemExit):
        parse(TrainOptions(), ["--config", str(file)])
    told = capsys.readouterr().err
    assert "--lr" in told
    assert str(file) in told.replace("\n", "")


def test_a_file_of_the_user_comes_before_a_shipped_one_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped/name.toml").write_text("lr = 0.5")
    monkeypatch.chdir(tmp_path)
    assert parse(TrainOptions(), ["--config=name"], tmp_path / "shipped").optimisation.lr == 0.5
    Path("name").write_text("lr = 0.7")
    assert parse(TrainOptions(), ["--config=name"], tmp_path / "shipped").optimisation.lr == 0.7


def test_a_missing_file_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=r"--config .*best.toml is no readable"):
        parse(TrainOptions(), ["--config", str(file)])
    with pytest.raises(SystemExit):
        parse(TrainOptions(), ["--config"])
    assert "--config" in capsys.readouterr().err
