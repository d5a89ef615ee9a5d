"""Options in a file: `--config`, and what a tuning writes for it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tyro

from pipelines.age.options import DEFAULTS
from shared.commands import as_toml, parse
from shared.messages import UserError
from shared.training.options import TrainOptions


@dataclass(frozen=True)
class Inner:
    """What is within."""

    lr: float = 0.1
    """A number."""
    backbone: str = "plain"
    """A text."""
    window: tuple[float, float, float] | None = None
    """Three numbers."""
    balance: bool = False
    """Yes or no."""
    overwrite: bool = False
    """Only for people."""
    config: Path | None = None
    """The file."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise UserError(f"--lr must be above 0, not {self.lr}")


@dataclass(frozen=True)
class Outer:
    """What is around it."""

    inner: Inner = field(default_factory=Inner)
    """Within."""
    count: int = 3
    """Another number."""


@dataclass(frozen=True)
class Many(Inner):
    """With a list, and an option that needs another."""

    many: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Texts."""
    most: int = 0
    """How many."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.most and not self.many:
            raise UserError("--most needs --many")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "best.toml"


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(file: Path) -> None:
    file.write_text('lr = 0.2\nbackbone = "deep"\nwindow = [0.9, 0.5, 0.5]\nbalance = true\n')
    options = parse(Inner(), ["--config", str(file), "--lr", "0.3"])
    assert options == Inner(0.3, "deep", (0.9, 0.5, 0.5), True, config=file)


def test_options_within_options_are_named_without_a_prefix(file: Path) -> None:
    file.write_text("lr = 0.2\ncount = 5\n")
    assert parse(Outer(), ["--config", str(file)]) == Outer(Inner(0.2, config=file), 5)


@pytest.mark.parametrize(
    "words", [["--lr", "0.3"], ["--lr=0.3", "--many", "c"], ["--no-balance", "--many", "c", "--many", "d"]]
)
def test_options_named_on_the_command_line_are_not_taken_from_the_file_at_all(file: Path, words: list[str]) -> None:
    file.write_text('lr = 0.2\nbalance = true\nmany = ["a", "b"]\n')
    options = parse(Many(), ["--config", str(file), *words])
    assert options.lr == (0.2 if "--no-balance" in words else 0.3)
    assert options.balance == ("--no-balance" not in words)
    assert options.many == {"d": ("c", "d"), "c": ("c",)}.get(words[-1], ("a", "b"))


def test_file_and_command_line_are_judged_together(file: Path) -> None:
    file.write_text("most = 5\n")
    assert parse(Many(), ["--config", str(file), "--many", "a"]).most == 5
    with pytest.raises(UserError, match="--most needs --many"):
        parse(Many(), ["--config", str(file)])


@pytest.mark.parametrize("task", ["mask", "gender", "age"])
def test_shipped_recipes_are_taken_with_the_folder_they_are_for(task: str, tmp_path: Path) -> None:
    beside = Path(__file__).parents[1] / "pipelines" / task
    defaults = DEFAULTS if task == "age" else TrainOptions()
    options = parse(defaults, ["--config", "with_extra", "--extra", str(tmp_path), "--epochs", "3"], beside)
    assert options.optimisation.extra_epochs > 0
    assert options.optimisation.epochs == 3
    assert options.data.extra == (tmp_path,)


def test_what_is_written_is_read_again(file: Path) -> None:
    values = {"lr": 1e-05, "backbone": 'a "b" \\ c', "window": (1.0, 0.5, 0.5), "balance": False, "nothing": None}
    file.write_text(as_toml(values))
    assert parse(Inner(balance=True), ["--config", str(file)]) == Inner(
        1e-05, 'a "b" \\ c', (1.0, 0.5, 0.5), config=file
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("window_ = 1", r"best.toml: there is no option window_; similar: window"),
        ("overwrite = true", r"there is no option overwrite"),
        ('backbone = "--overwrite"', r"best.toml: backbone must be"),
        ("lr = {a = 1}", r"best.toml: lr must be"),
        ("lr =", r"best.toml is no readable TOML file"),
        ("lr = -1", r"--lr must be above 0"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        parse(Inner(), ["--config", str(file)])


def test_a_value_of_another_type_names_its_flag_and_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('lr = "much"')
    with pytest.raises(SystemExit):
        parse(Inner(), ["--config", str(file)])
    told = capsys.readouterr().err
    assert "--lr" in told
    assert str(file) in told.replace("\n", "")


def test_a_file_of_the_user_comes_before_a_shipped_one_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shipped").mkdir()
    (tmp_path / "shipped/name.toml").write_text("lr = 0.5")
    monkeypatch.chdir(tmp_path)
    assert parse(Inner(), ["--config=name"], tmp_path / "shipped").lr == 0.5
    Path("name").write_text("lr = 0.7")
    assert parse(Inner(), ["--config=name"], tmp_path / "shipped").lr == 0.7


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(UserError, match=r"--config .*best.toml is no readable"):
        parse(Inner(), ["--config", str(file)])
