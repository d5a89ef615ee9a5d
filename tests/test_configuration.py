"""Options in a file: `--config`, and what a tuning writes for it."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shared.commands import parse
from shared.configuration import as_toml
from shared.errors import UserError


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


def test_what_is_written_is_read_again(file: Path) -> None:
    values = {"lr": 1e-05, "backbone": 'a "b" \\ c', "window": (1.0, 0.5, 0.5), "balance": False, "nothing": None}
    file.write_text(as_toml(values))
    assert parse(Inner(balance=True), ["--config", str(file)]) == Inner(
        1e-05, 'a "b" \\ c', (1.0, 0.5, 0.5), config=file
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("window_ = 1", r"best.toml: there is no option window_; near it: window"),
        ("overwrite = true", r"there is no option overwrite"),
        ('backbone = "--overwrite"', r"best.toml: backbone must be"),
        ("lr = {a = 1}", r"best.toml: lr must be"),
        ("lr =", r"best.toml is no readable TOML file"),
        ('lr = "much"', r"best.toml: a value is not of the kind"),
        ("lr = -1", r"--lr must be above 0"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_by_name(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        parse(Inner(), ["--config", str(file)])


def test_a_missing_file_is_named(file: Path) -> None:
    with pytest.raises(UserError, match=r"--config .*best.toml is no readable"):
        parse(Inner(), ["--config", str(file)])
