"""How every command of the project starts: a dataclass of options becomes the command line.

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

import os
import select
import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

from shared import interrupts
from shared.configuration import config_in, flags_of, named_in
from shared.errors import UserError

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

    Where they name a file by `--config`, that takes the place of the defaults (see `shared.configuration`).
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
