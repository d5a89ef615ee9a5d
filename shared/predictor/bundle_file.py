"""Files of a bundle as bytes: from a zip archive, a folder, or run folders.

Nothing is ever unpacked to disk, only names that the bundle's own manifest gives are read, and none beyond its limit:
a bundle may come from a stranger.

What a bundle holds, as its manifest `face18.json` says it: which files answer, and what was learnt for deciding.

Writing a bundle: a zip archive or a folder, whole or not at all. The same content gives the same bytes.
"""

import json
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from shared.faces.alignment import RECIPE
from shared.files import replacing
from shared.fusion.decision import FittedRule
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.thresholds import ClassRule, Thresholds
from shared.labels import CLASS_COUNT
from shared.messages import UserError
from shared.predictor.decide import AgeIntervals, Coverage, Decisions
from shared.training.options import TtaName

MOST_FILES = 10_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


class BundleSource(Protocol):
    """Where the files of a bundle are."""

    @property
    def path(self) -> Path:
        """For messages."""

    def holds(self, name: str) -> bool:
        """Whether there is such a file."""

    def read(self, name: str, limit: int) -> bytes:
        """Its content. Raises `UserError` where it is missing, broken or longer than `limit` bytes."""


def check_name(path: Path, name: str) -> str:
    """The name of a file within a bundle; raises `UserError` where it could lead elsewhere."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(f"{path} names a file that no bundle may have ({str(name)[:80]!r}): it is broken or hostile")
    return name


@dataclass(frozen=True)
class Archive:
    """A zip archive."""

    path: Path

    def holds(self, name: str) -> bool:
        with self._opened() as archive:
            return name in archive.namelist()

    def read(self, name: str, limit: int) -> bytes:
        with self._opened() as archive:
            try:
                with archive.open(check_name(self.path, name)) as file:
                    return _limited(self.path, name, file.read(limit + 1), limit)
            except KeyError:
                raise UserError(f"{self.path} is no whole bundle: {name} is missing") from None
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError) as error:
                raise UserError(f"{self.path} is broken: {name} cannot be read ({error})") from error

    def _opened(self) -> zipfile.ZipFile:
        try:
            archive = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UserError(f"{self.path} is no bundle: it cannot be read as a zip archive ({error})") from error
        if len(archive.infolist()) > MOST_FILES:
            raise UserError(f"{self.path} is no bundle of face18: it holds more than {MOST_FILES:,} files")
        return archive


@dataclass(frozen=True)
class Folder:
    """An unpacked bundle."""

    path: Path

    def holds(self, name: str) -> bool:
        return (self.path / check_name(self.path, name)).is_file()

    def read(self, name: str, limit: int) -> bytes:
        return _read_file(self.path / check_name(self.path, name), limit)


@dataclass(frozen=True)
class Files:
    """Files that lie anywhere, under names of a bundle."""

    path: Path
    files: Mapping[str, Path]

    def holds(self, name: str) -> bool:
        return name in self.files and self.files[name].is_file()

    def read(self, name: str, limit: int) -> bytes:
        return _read_file(self.files[name], limit)


def _read_file(file: Path, limit: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return _limited(file.parent, file.name, opened.read(limit + 1), limit)
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror or error})") from error


def _limited(path: Path, name: str, content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise UserError(f"{path} is no bundle of face18: {name} is larger than {limit:,} bytes")
    return content


FORMAT = 1
"""Of the manifest; raised when older versions of face18 would read it wrong."""

MANIFEST = "face18.json"
CARD = "MODEL_CARD.md"
DETECTOR_FILES = ("detector/pnet.onnx", "detector/rnet.onnx", "detector/onet.onnx")
"""In bundles made with --onnx."""

MOST_MANIFEST = 4 << 20
MOST_WEIGHTS = 2 << 30
"""Bytes that the manifest, and one network, may have."""

MOST_NETWORKS = 200


@dataclass(frozen=True)
class RunFiles:
    """The folds of a training."""

    tta: TtaName
    weights: tuple[str, ...]
    """A safetensors file for each fold; the ONNX file beside it has the same name but for the suffix."""


@dataclass(frozen=True)
class BundleContents:
    """Everything but the tensors."""

    runs: Mapping[str, tuple[RunFiles, ...]]
    """By specialist."""
    decisions: Decisions
    about: Mapping[str, Any] = field(default_factory=dict)
    """For people: how, when and with which versions it was made."""

    def as_json(self) -> str:
        """The manifest."""
        decider = self.decisions.fitted_rule
        rule = decider.class_rule and {name: values.tolist() for name, values in decider.class_rule._asdict().items()}
        content = {
            "format": FORMAT,
            "recipe": {"id": RECIPE.id, **json.loads(RECIPE.as_json())},
            "specialists": {task: [asdict(run) for run in runs] for task, runs in self.runs.items()},
            "decisions": {
                "temperatures": dict(decider.temperatures),
                "thresholds": list(decider.thresholds),
                "class_weights": rule,
                "from_years": self.decisions.years,
            },
            "age_interval": asdict(self.decisions.intervals),
            "about": dict(self.about),
        }
        return json.dumps(content, indent=2) + "\n"


def onnx_name(weights: str) -> str:
    """The ONNX file beside a safetensors file."""
    return weights.removesuffix(".safetensors") + ".onnx"


def read_contents(source: BundleSource) -> BundleContents:
    """The manifest of a bundle. Raises `UserError` where it is missing, broken or of another version."""
    try:
        found = json.loads(source.read(MANIFEST, MOST_MANIFEST).decode())
        if found["format"] != FORMAT:
            raise UserError(
                f"{source.path} is a bundle of format {found['format']}, this version of face18 reads {FORMAT}: "
                "get a bundle or a face18 of the other's version"
            )
        made_for = found["recipe"]["id"]
        contents = BundleContents(
            runs={task: _runs(source, found["specialists"][task]) for task in SPECIALISTS},
            decisions=_decisions(found["decisions"], found["age_interval"]),
            about=dict(found["about"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise UserError(f"{source.path} is no whole bundle: {MANIFEST} is broken ({reason}). Get it again") from error
    if made_for != RECIPE.id:
        raise UserError(
            f"{source.path} wants crops of recipe {made_for}, this version of face18 makes {RECIPE.id}: "
            "use the version that made the bundle, or train again and make a new one"
        )
    return contents


def _runs(source: BundleSource, runs: list[dict[str, Any]]) -> tuple[RunFiles, ...]:
    found = tuple(
        RunFiles(_one_of(get_args(TtaName), run["tta"]), tuple(check_name(source.path, n) for n in run["weights"]))
        for run in runs
    )
    if not 0 < sum(len(run.weights) for run in found) <= MOST_NETWORKS or not all(run.weights for run in found):
        raise ValueError(f"not 1 to {MOST_NETWORKS} networks for a specialist")
    return found


def _decisions(decisions: dict[str, Any], interval: dict[str, Any]) -> Decisions:
    rule = decisions["class_weights"]
    low, high = _numbers(decisions["thresholds"], 2)
    if not 0 < low < high <= 100:
        raise ValueError(f"thresholds {low}, {high}")
    temperatures = {task: _number(decisions["temperatures"][task]) for task in SPECIALISTS}
    if min(temperatures.values()) <= 0:
        raise ValueError(f"temperatures {temperatures}")
    decider = FittedRule(
        temperatures=temperatures,
        thresholds=Thresholds(low, high),
        class_rule=rule and ClassRule(*(np.array(_numbers(rule[name], CLASS_COUNT)) for name in ClassRule._fields)),
    )
    coverage, top_code = interval["coverage"], interval["top_code"]
    intervals = AgeIntervals(
        _number(interval["below"]),
        _number(interval["above"]),
        None if top_code is None else int(top_code),
        coverage and Coverage(**coverage),
    )
    return Decisions(decider, intervals, bool(decisions["from_years"]))


def _one_of(allowed: tuple[Any, ...], value: Any) -> Any:
    if value not in allowed:
        raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError(f"{value!r} is no number")
    return number


def _numbers(values: list[Any], count: int) -> list[float]:
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers instead of {count}")
    return [_number(value) for value in values]


_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file: when it was made stands in the manifest."""


def write_bundle(out: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a bundle, by name; a zip archive where `out` ends in .zip, else a folder.

    Raises `UserError` where the disk refuses, or the folder holds something else.
    """
    if out.suffix.lower() == ".zip":
        with replacing(out) as temporary:
            _write_archive(temporary, files)
        return
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(
            f"--out {out} holds something else than a bundle: name another folder, or a file ending in .zip"
        )
    # The manifest comes last: a folder without it is no bundle.
    for name in sorted(files, key=lambda name: name == MANIFEST):
        with replacing(out / name) as temporary:
            temporary.write_bytes(files[name])


def _write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            # Weights are as good as random: compressing them takes seconds and gains a twentieth.
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type = (
                zipfile.ZIP_STORED if name.endswith((".safetensors", ".onnx")) else zipfile.ZIP_DEFLATED
            )
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
