"""Options in a file: what `--config FILE` reads, and what a tuning leaves for it.

TOML, an option on each line, named as on the command line:

    lr = 0.002
    backbone = "tf_efficientnet_lite0"
    window = [0.9, 0.5, 0.5]
    balance = true

The command line wins over the file, and the file over the defaults. Nothing in it is ever executed.

How every command of the project starts: a dataclass of options becomes the command line.

    @dataclass(frozen=True)
    class Options:
        "One line that opens --help."

        data: Path = Path("data")
        "The competition folder."

    def main(options: Options) -> None: ...

    if __name__ == "__main__":
        run(main, Options())

A field is a flag, the text below it its help, and `__post_init__` refuses values that make no sense. A field
`config: Path | None` is the name of a file with options.
"""

import argparse
import difflib
import os
import select
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tyro

from shared import interrupts
from shared.messages import UserError

_FOR_PEOPLE = ("config", "overwrite")
"""Only a person at the command line may say so."""


def config_in(words: Sequence[str], options: object) -> Path | None:
    """The file that a command line names by --config, where `options` has such a field, of its own or within it."""
    if "config" not in _values(options):
        return None
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", type=Path)
    try:
        file: Path | None = parser.parse_known_args(words)[0].config
    except argparse.ArgumentError:
        return None  # Named without a file: whoever reads the whole line says so.
    return None if file == Path("None") else file


def named_in(words: Sequence[str]) -> set[str]:
    """The options that a command line speaks of, as they are named in a file."""
    flags = {word.removeprefix("--").partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    return flags | {flag.removeprefix("no_") for flag in flags}


def flags_of(file: Path, options: object, but: Collection[str] = ()) -> list[str]:
    """A file as words of a command line that is parsed into a dataclass like `options`, all options `but` some.

    Raises `UserError` where the file cannot be read, or names an option that there is not.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"--config {file} is no readable TOML file: {error}") from error
    kept = {key: value for key, value in content.items() if key.replace("-", "_") not in but}
    as_flags(content, options, f"--config {file}")  # The file is refused whatever the command line says.
    return as_flags(kept, options, f"--config {file}")


def as_flags(values: Mapping[str, Any], options: object, source: str) -> list[str]:
    """Values by option as words of a command line; `source` is named where they make no sense."""
    known = [name for name in _values(options) if name not in _FOR_PEOPLE]
    words: list[str] = []
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, n=3)) or "nothing, see --help"
            raise UserError(f"{source}: there is no option {key}; near it: {near}")
        parts = value if isinstance(value, list) and name in _repeatable(options) else [value]
        words += [word for part in parts for word in _words(name.replace("_", "-"), part, source)]
    return words


def as_toml(values: Mapping[str, Any]) -> str:
    """The inverse: a line for each option that has a value. Raises `TypeError` for what TOML cannot say."""
    return "".join(f"{name} = {_toml(value)}\n" for name, value in values.items() if value is not None)


def _values(options: object) -> dict[str, Any]:
    """All fields by name, those of dataclasses within included: on the command line they have no prefix."""
    found: dict[str, Any] = {}
    for field in fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        found |= _values(value) if is_dataclass(value) else {field.name: value}
    return found


def _repeatable(options: object) -> set[str]:
    """The fields whose flag is given once for each value."""
    found: set[str] = set()
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        if is_dataclass(value):
            found |= _repeatable(value)
        elif tyro.conf.UseAppendAction in getattr(hint, "__metadata__", ()):
            found.add(name)
    return found


def _words(flag: str, value: object, source: str) -> list[str]:
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    parts = value if isinstance(value, list) else [value]
    for part in parts:
        # A word that looks like a flag would be taken for one.
        if not isinstance(part, str | int | float) or str(part).startswith("--"):
            raise UserError(f"{source}: {flag} must be a number, a text, true, false or a list of such, not {part!r}")
    return [f"--{flag}", *map(str, parts)]


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str() | Path():
            escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
    raise TypeError(f"TOML has no word for {value!r}")


Options = TypeVar("Options")

STDOUT = 1
"""Its file descriptor."""
EXIT_USER_ERROR = 2
EXIT_NOBODY_READS = 141
"""As a shell tells of a program that was ended by SIGPIPE."""


def run(main: Callable[[Options], None], defaults: Options, arguments: list[str] | None = None) -> None:
    """Parse the command line into the dataclass of `defaults`, call `main` with it, and exit.

    Exit status: 0; 2 for a `UserError` or unusable arguments; 130 after Ctrl-C; 141 where the reader of standard output
    has gone (`| head`).
    """

    def work() -> None:
        main(parse(defaults, arguments))
        sys.stdout.flush()

    # Threads that wait for one another would spin, on cores that the readers of a training need; libgomp asks for this
    # when torch is loaded, which no command does before here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        interrupts.hear(work, command=main.__module__ == "__main__")
    except BrokenPipeError:
        if _somebody_reads():
            raise
        sys.exit(EXIT_NOBODY_READS)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


def parse(defaults: Options, arguments: list[str] | None = None) -> Options:
    """The options of a command line (`sys.argv` when None); unusable arguments exit with status 2, naming the flag.

    Where they name a file by `--config`, that takes the place of the defaults (see `shared.commands`).
    Raises `UserError` where the dataclass itself refuses a value in its `__post_init__`, or the file is unusable.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    file = config_in(words, defaults)
    if file is None:
        return _read(defaults, words)
    told = flags_of(file, defaults, named_in(words))
    try:
        _read(defaults, told)
    except SystemExit as stopped:
        raise UserError(f"--config {file}: a value is not of the kind that its option takes") from stopped
    except UserError:
        pass  # It may make sense with what the command line says besides.
    return _read(defaults, [*told, *words])


def _read(defaults: Options, arguments: list[str]) -> Options:
    return tyro.cli(
        type(defaults),
        default=defaults,
        args=arguments,
        description=type(defaults).__doc__,
        config=(tyro.conf.OmitArgPrefixes,),
    )


def _somebody_reads() -> bool:
    """Whether a pipe behind standard output has a reader; where not, what is left to print goes nowhere."""
    watch = select.poll()
    watch.register(STDOUT, 0)
    if not any(event & select.POLLERR for _, event in watch.poll(0)):
        return True
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # Or Python would tell of it when it ends.
    return False
