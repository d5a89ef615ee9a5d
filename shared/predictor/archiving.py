"""Writing a bundle: a zip archive or a folder, whole or not at all. The same content gives the same bytes."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from shared.atomic import replacing
from shared.errors import UserError
from shared.predictor.contents import MANIFEST

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
