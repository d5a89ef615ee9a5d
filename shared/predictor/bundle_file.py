"""The file format of a bundle: a zip archive or a folder with the manifest `face18.json`, weights, and a model card.

    face18.json                     which files belong to which specialist, and the fitted decisions
    MODEL_CARD.md
    TASK/RUN/foldN.safetensors      weights; with --onnx, foldN.onnx beside them
    body/CODE.safetensors           the frozen body that several networks share; their own files then hold the head
                                    alone, and with --onnx there is body/CODE.onnx instead of a file for each
    detector/{p,r,o}net.onnx        the nets that find faces, with --onnx

A bundle may come from a stranger. Nothing is unpickled or unpacked to disk; only the manifest and files that it names
are read, and none that is larger than its limit.
"""

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from shared.bundle_source import MANIFEST, MAX_MANIFEST, BundleSource, checked_name, open_source
from shared.faces.alignment import RECIPE
from shared.files import replacing
from shared.fusion.age_intervals import AgeIntervals, Coverage
from shared.fusion.ages import Thresholds
from shared.fusion.fusion import SPECIALISTS
from shared.fusion.rules import ClassRule, FittedRule
from shared.labels import CLASS_COUNT
from shared.messages import MAX_WIDTH, UserError
from shared.predictor.results import Decisions
from shared.training.options import TtaName

FORMAT = 1
"""Of the manifest; raised with every change that older versions of face18 would misread."""

CARD = "MODEL_CARD.md"
DETECTOR_FILES = ("detector/pnet.onnx", "detector/rnet.onnx", "detector/onet.onnx")

MAX_TOTAL = 8 << 30
"""Bytes of all networks."""
MAX_NETWORKS = 200
UNKNOWN_DATA = "data of unknown origin"


@dataclass(frozen=True)
class RunFiles:
    """The networks of a run."""

    tta: TtaName
    weights: tuple[str, ...]
    """A safetensors file for each fold; specialists may share files. The ONNX file differs in the suffix alone."""


@dataclass(frozen=True)
class BundleContents:
    """The content of a manifest."""

    runs: Mapping[str, tuple[RunFiles, ...]]
    """By specialist."""
    decisions: Decisions
    about: Mapping[str, Any] = field(default_factory=dict)
    """For people: how, when and with which versions it was made. `sources` are the data it was trained on, each with
    `source`, `licence` and `credit`; `start` is the network it started from, if that was trained on faces."""

    def trained_on(self) -> str:
        """Return the training data, and those of the network it started from, as part of a sentence.

        >>> start = {"data": "private photographs"}
        >>> BundleContents({}, None, {"sources": [{"source": "drawings"}], "start": start}).trained_on()
        'drawings; it started from a network trained on private photographs'
        """
        try:
            names = ", ".join(str(each["source"]) for each in self.about["sources"])
            count = sum(int(each.get("photographs", 0)) for each in self.about["sources"])
            start = self.about.get("start") and str(self.about["start"]["data"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            names, count, start = "", 0, None
        data = f"{count:,} photographs ({names})" if count else names or UNKNOWN_DATA
        return data[:MAX_WIDTH] + (f"; it started from a network trained on {start[:MAX_WIDTH]}" if start else "")

    def to_dict(self) -> dict[str, Any]:
        """Return the manifest as plain values for JSON."""
        rule = self.decisions.fitted_rule
        weights = rule.class_rule and {name: values.tolist() for name, values in rule.class_rule._asdict().items()}
        return {
            "format": FORMAT,
            "recipe": {"id": RECIPE.id, **json.loads(RECIPE.as_json())},
            "specialists": {task: [asdict(run) for run in runs] for task, runs in self.runs.items()},
            "decisions": {
                "temperatures": dict(rule.temperatures),
                "thresholds": list(map(float, rule.thresholds)),
                "class_weights": weights,
                "calibrated": rule.calibrated,
            },
            "age_interval": asdict(self.decisions.intervals),
            "about": dict(self.about),
        }


def onnx_name(weights: str) -> str:
    """Return the name of the ONNX file that belongs to a safetensors file."""
    return weights.removesuffix(".safetensors") + ".onnx"


def open_bundle(path: Path) -> tuple[BundleSource, BundleContents]:
    """Open a bundle and read its manifest.

    Raises `UserError` if the manifest is missing, broken, of another format, or needs crops of another recipe.
    """
    source = open_source(path)
    try:
        manifest = json.loads(source.read(MANIFEST, MAX_MANIFEST).decode())
        if manifest["format"] != FORMAT:
            raise UserError(
                f"{path} is a bundle of format {manifest['format']}, this version of face18 reads {FORMAT}: "
                "take a bundle and a face18 of the same version"
            )
        recipe = manifest["recipe"]["id"]
        contents = BundleContents(
            runs=_parse_runs(path, manifest["specialists"]),
            decisions=Decisions(_parse_rule(manifest["decisions"]), _parse_intervals(manifest["age_interval"])),
            about=dict(manifest["about"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise UserError(f"{path} is no whole bundle: {MANIFEST} is broken ({reason}). Get it again") from error
    if recipe != RECIPE.id:
        raise UserError(
            f"{path} needs crops of recipe {recipe}, this version of face18 makes {RECIPE.id}: "
            "use the version that made the bundle, or train again and make a new one"
        )
    total = sum(source.size(name) for runs in contents.runs.values() for run in runs for name in run.weights)
    if total > MAX_TOTAL:
        raise UserError(f"{path} is no bundle of face18: its networks take more than {MAX_TOTAL:,} bytes")
    return source, contents


def _parse_runs(path: Path, specialists: dict[str, Any]) -> dict[str, tuple[RunFiles, ...]]:
    parsed = {
        task: tuple(
            RunFiles(run["tta"], tuple(checked_name(path, name) for name in run["weights"]))
            for run in specialists[task]
        )
        for task in SPECIALISTS
    }
    if not all(parsed.values()) or not all(run.weights for runs in parsed.values() for run in runs):
        raise ValueError("a specialist or a run without networks")
    if any(run.tta not in get_args(TtaName) for runs in parsed.values() for run in runs):
        raise ValueError(f"tta is none of {', '.join(get_args(TtaName))}")
    for runs in parsed.values():
        names = [name for run in runs for name in run.weights]
        if len(names) > MAX_NETWORKS or len(set(names)) < len(names):
            raise ValueError(f"more than {MAX_NETWORKS} networks of a specialist, or one of them twice")
    return parsed


def _parse_rule(decisions: dict[str, Any]) -> FittedRule:
    low, high = _numbers(decisions["thresholds"], 2)
    if not 0 < low < high <= 100:
        raise ValueError(f"thresholds {low}, {high}")
    temperatures = _numbers([decisions["temperatures"][task] for task in SPECIALISTS], len(SPECIALISTS))
    if min(temperatures) <= 0:
        raise ValueError(f"temperatures {temperatures}")
    weights = decisions["class_weights"]
    class_rule = weights and ClassRule(*(np.array(_numbers(weights[name], CLASS_COUNT)) for name in ClassRule._fields))
    calibrated = decisions["calibrated"]
    if not isinstance(calibrated, bool):
        raise ValueError(f"calibrated {calibrated!r}")
    return FittedRule(dict(zip(SPECIALISTS, temperatures, strict=True)), Thresholds(low, high), class_rule, calibrated)


def _parse_intervals(interval: dict[str, Any]) -> AgeIntervals:
    coverage, top_code = interval["coverage"], interval["top_code"]
    below, above = _numbers([interval["below"], interval["above"]], 2)
    return AgeIntervals(below, above, None if top_code is None else int(top_code), coverage and Coverage(**coverage))


def _numbers(values: list[Any], count: int) -> list[float]:
    """Return finite numbers; raises `ValueError` or `TypeError` for anything else, or another count."""
    numbers = [float(value) for value in values]
    if len(values) != count or any(isinstance(value, bool) for value in values) or not all(map(math.isfinite, numbers)):
        raise ValueError(f"not {count} numbers: {str(values)[:80]}")
    return numbers


_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in an archive, so that the same content gives the same bytes."""


def check_target(out: Path) -> None:
    """Raise `UserError` if a bundle cannot be written to `out`: a folder that holds something else."""
    if (
        not _is_archive(out)
        and out.exists()
        and not (out / MANIFEST).is_file()
        and (not out.is_dir() or any(out.iterdir()))
    ):
        raise UserError(
            f"--out {out} holds something other than a bundle: name another folder, or a file ending in .zip"
        )


def write_bundle(out: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a bundle, by name: a zip archive if `out` ends in .zip, else a folder.

    Raises `UserError` as `check_target` does, and if the disk refuses.
    """
    check_target(out)
    if _is_archive(out):
        with replacing(out) as temporary:
            _write_archive(temporary, files)
        return
    # The manifest comes last: a folder without it is no bundle.
    for name in sorted(files, key=lambda name: name == MANIFEST):
        with replacing(out / name) as temporary:
            temporary.write_bytes(files[name])


def _is_archive(out: Path) -> bool:
    return out.suffix.lower() == ".zip"


def _write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _TIME)
            # Weights hardly compress, and trying takes seconds.
            binary = name.endswith((".safetensors", ".onnx"))
            info.compress_type = zipfile.ZIP_STORED if binary else zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
