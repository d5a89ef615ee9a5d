"""How every command starts: a dataclass of options becomes the command line.

    @dataclass(frozen=True)
    class Options:
        "The first line of --help."

        data: Path = Path("data")
        "The competition folder."

    def main(options: Options) -> None: ...

    if __name__ == "__main__":
        run(main, Options())

A field is a flag, the docstring below it its help, and `__post_init__` refuses senseless values. If there is a field
`config: Path | None`, then `--config FILE` reads options from a TOML file, one per line, named as on the command line:

    lr = 0.002
    backbone = "tf_efficientnet_lite0"
    window = [0.9, 0.5, 0.5]
    balance = true

The command line wins over the file, and the file over the defaults. A plain name, such as `--config with_extra`,
also finds the file `with_extra.toml` beside the command's module.
"""

import difflib
import errno
import inspect
import os
import select
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import tyro

from shared.files import UNENCODABLE
from shared.interrupts import run_interruptibly
from shared.messages import UserError

Options = TypeVar("Options")

STDOUT = 1
"""File descriptor of standard output."""

EXIT_USER_ERROR = 2
EXIT_BROKEN_PIPE = 141
"""Exit status that a shell reports for a program ended by SIGPIPE."""

NOT_IN_FILES = ("config", "overwrite")
"""Options that only the command line may set."""


PROGRAM = "FACE18_COMMAND"
"""Environment variable with the name of the command for --help, set by `face18`."""


def run(main: Callable[[Options], None], defaults: Options, arguments: list[str] | None = None) -> None:
    """Parse the command line into the dataclass of `defaults`, call `main` with it, and exit.

    Exit status: 0; 2 for a `UserError`, unusable arguments, or standard output that cannot be written; 130 after
    Ctrl-C; 141 if nothing reads standard output any more (`| head`).
    """

    def work() -> None:
        main(parse(defaults, arguments, Path(inspect.getfile(main)).parent))
        sys.stdout.flush()

    # Threads of OpenMP would spin while they wait, on cores that the loaders of a training need: .81 instead of .85 of
    # the step's own speed (docs/performance.md). libgomp reads this when torch is loaded, which is later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _print_any_name()
    try:
        run_interruptibly(work, command=main.__module__ == "__main__")
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError) and not _has_reader():
            _discard_output()
            sys.exit(EXIT_BROKEN_PIPE)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        _fail(f"{error.filename or 'the output'} cannot be written ({error.strerror})")


def parse(defaults: Options, arguments: list[str] | None = None, beside: Path | None = None) -> Options:
    """Parse a command line (`sys.argv` when None); unusable arguments exit with status 2 and name the flag.

    `beside` is the folder of the option files that come with the command.

    Raises `UserError` if `__post_init__` refuses a value, or the file of `--config` is unusable.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    file = _config_file(words, beside) if "config" in dict(_values(defaults)) else None
    flags = config_flags(file, defaults, but=_named(words)) if file else []
    try:
        return tyro.cli(
            type(defaults),
            default=defaults,
            args=[*flags, *words],
            prog=os.environ.get(PROGRAM),
            description=type(defaults).__doc__,
            config=(tyro.conf.OmitArgPrefixes,),
        )
    except SystemExit as stopped:
        if flags and stopped.code:
            print(f"Options come from the command line and from --config {file}.", file=sys.stderr)
        raise


def config_flags(file: Path, options: object, but: Sequence[str] = ()) -> list[str]:
    """Flags for the options in a TOML file, except those named in `but`; `options` is the dataclass they are for.

    Raises `UserError` if the file cannot be read or names an unknown option.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"--config {file} is no readable TOML file: {error}") from error
    flags = {name: as_flags({name: value}, options, f"--config {file}") for name, value in content.items()}
    return [word for name, words in flags.items() if name.replace("-", "_") not in but for word in words]


def as_flags(values: Mapping[str, Any], options: object, source: str) -> list[str]:
    """Flags for values by option; raises `UserError` naming `source` for an unknown option or an unusable value."""
    known = [name for name, _ in _values(options) if name not in NOT_IN_FILES]
    words: list[str] = []
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, n=3)) or "nothing, see --help"
            raise UserError(f"{source}: there is no option {key}; similar: {near}")
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
            continue
        items = value if isinstance(value, list) else [value]
        for item in items:
            # A text that begins with dashes would be read as a flag.
            if not isinstance(item, str | int | float) or str(item).startswith("--"):
                raise UserError(
                    f"{source}: {flag} must be a number, a text, true, false or a list of them, not {item!r}"
                )
        each = [[item] for item in items] if name in _repeatable(options) else [items]
        words += [word for group in each for word in (f"--{flag}", *map(str, group))]
    return words


def as_toml(values: Mapping[str, Any]) -> str:
    """Write options as a TOML file for `--config`; None is left out. Raises `TypeError` for values TOML cannot hold."""
    return "".join(f"{name} = {_toml(value)}\n" for name, value in values.items() if value is not None)


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
    raise TypeError(f"TOML cannot hold {value!r}")


def _config_file(words: Sequence[str], beside: Path | None) -> Path | None:
    """The last file that the words name by --config; for a plain name perhaps the one in the folder `beside`."""
    following = [word for flag, word in pairwise(words) if flag == "--config"]
    found = [*following, *(word.partition("=")[2] for word in words if word.startswith("--config="))]
    if not found or found[-1] == "None" or found[-1].startswith("--"):
        return None
    file = Path(found[-1])
    shipped = beside / f"{file}.toml" if beside else file
    return shipped if not file.exists() and file.parent == Path() and shipped.is_file() else file


def _named(words: Sequence[str]) -> list[str]:
    """Names of the options that the words set."""
    flags = [word.removeprefix("--").partition("=")[0].replace("-", "_") for word in words if word.startswith("--")]
    return [*flags, *(flag.removeprefix("no_") for flag in flags)]


def _values(options: object) -> Iterator[tuple[str, Any]]:
    """All fields, those of dataclasses within included: on the command line they have no prefix."""
    for field in fields(options):  # type: ignore[arg-type]
        value = getattr(options, field.name)
        if is_dataclass(value):
            yield from _values(value)
        else:
            yield field.name, value


def _repeatable(options: object) -> set[str]:
    """Names of the fields that take a flag for each value."""
    found: set[str] = set()
    for name, hint in get_type_hints(type(options), include_extras=True).items():
        value = getattr(options, name)
        if is_dataclass(value):
            found |= _repeatable(value)
        elif tyro.conf.UseAppendAction in getattr(hint, "__metadata__", ()):
            found.add(name)
    return found


def _print_any_name() -> None:
    """Print what a terminal's encoding cannot express as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=UNENCODABLE)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
    sys.exit(EXIT_USER_ERROR)


def _has_reader() -> bool:
    """Whether the pipe behind standard output still has a reader."""
    watch = select.poll()
    watch.register(STDOUT, 0)
    return not any(event & select.POLLERR for _, event in watch.poll(0))


def _discard_output() -> None:
    """Send what is still buffered for standard output nowhere; Python would complain about it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
