"""Options in a file: what `--config FILE` reads, and what a tuning leaves for it.

TOML, an option on each line, named as on the command line:

    lr = 0.002
    backbone = "tf_efficientnet_lite0"
    window = [0.9, 0.5, 0.5]
    balance = true

The command line wins over the file, and the file over the defaults. Nothing in it is ever executed.
"""

import argparse
import difflib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import tyro

from shared.errors import UserError

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
