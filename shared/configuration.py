"""Options in a file: what `--config FILE` reads, and what a tuning leaves for it.

TOML, an option on each line, named as on the command line:

    lr = 0.002
    backbone = "tf_efficientnet_lite0"
    window = [0.9, 0.5, 0.5]
    balance = true

The command line wins over the file, and the file over the defaults. Nothing in it is ever executed.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from shared.errors import UserError

_FOR_PEOPLE = ("config", "overwrite")
"""Only a person at the command line may say so."""


def config_of(options: object) -> Path | None:
    """The file that the options name in a field `config`, of their own or of a dataclass within them."""
    for name, value in _values(options).items():
        if name == "config":
            return None if value is None else Path(value)
    return None


def flags_of(file: Path, options: object) -> list[str]:
    """A file as words of a command line that is parsed into a dataclass like `options`.

    Raises `UserError` where the file cannot be read, or names an option that there is not.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"--config {file} is no readable TOML file: {error}") from error
    return as_flags(content, options, f"--config {file}")


def as_flags(values: Mapping[str, Any], options: object, source: str) -> list[str]:
    """Values by option as words of a command line; `source` is named where they make no sense."""
    known = [name for name in _values(options) if name not in _FOR_PEOPLE]
    words: list[str] = []
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, n=3)) or "nothing, see --help"
            raise UserError(f"{source}: there is no option {key}; near it: {near}")
        words += _words(name.replace("_", "-"), value, source)
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
