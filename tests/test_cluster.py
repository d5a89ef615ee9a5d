"""Jobs on a Dask cluster of real processes: one of them killed, a part repeated, and what goes wrong."""

import io
import json
import signal
import socket
import tarfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import fsspec
import numpy as np
import pandas as pd
import pytest
from dask_cluster import LIMIT, scheduler, worker
from distributed import Client, LocalCluster
from drawn_faces import broken_files, encode, files, write_portraits
from test_cluster_sources import s3  # noqa: F401 - a fixture
from tiny_model import write_model

from shared import crop_shards, predict
from shared.cluster import MANIFEST, CropJob, PredictJob, SourceFile, refuse_other_versions, run_job, split, write_part
from shared.crops import Row
from shared.faces.cache import make_crops
from shared.faces.crop import unread_source
from shared.messages import UserError

# Of libraries of the storages, which use what Python and their own dependencies will drop.
pytestmark = pytest.mark.filterwarnings("default")

VICTIM = "victim"
PART, COPIES = 4, 2
"""Images in a part, and copies of the portraits in the album."""


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Portraits, an image without a face, and files that cannot be read."""
    folder = tmp_path_factory.mktemp("album")
    write_portraits(folder, copies=COPIES)
    (folder / "nobody.jpg").write_bytes(encode(np.full((200, 300, 3), 90, np.uint8)))
    for name, (content, _) in broken_files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with one worker."""
    folder = tmp_path_factory.mktemp("dask")
    with scheduler(folder) as address, worker(address, folder, "survivor"):
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=LIMIT)
        yield address


@pytest.fixture(scope="module")
def crops(cluster: str, album: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops made while one of two workers was killed in the middle of a part."""
    out = tmp_path_factory.mktemp("crops")
    with worker(cluster, out.parent, VICTIM) as victim, Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=LIMIT)
        places = {about["name"]: address for address, about in client.scheduler_info()["workers"].items()}
        with ThreadPoolExecutor() as pool:
            job = pool.submit(run_job, CropJob(), [str(album)], str(out), cluster, PART)
            while not (parts(out) and client.processing()[places[VICTIM]]):
                assert not job.done(), job.result()
                time.sleep(0.01)
            victim.send_signal(signal.SIGKILL)
            assert len(parts(out)) < len(split([str(album)], PART))
            victim.wait()
            job.result(timeout=LIMIT)
    return out


def parts(out: Path) -> list[Path]:
    return sorted(out.glob("part-*.parquet"))


def rows(out: Path) -> pd.DataFrame:
    """All rows as a reader of Parquet folders sees them, indexed by image."""
    table = pd.read_parquet(out)
    return table.set_index(table.columns[0])


def test_each_image_is_there_once_though_a_worker_was_killed(
    cluster: str, album: Path, crops: Path, tmp_path: Path
) -> None:
    undisturbed = tmp_path / "undisturbed"
    run_job(CropJob(), [str(album)], str(undisturbed), cluster, PART)
    table = rows(crops)
    assert sorted(table.index) == sorted(str(file) for file in album.rglob("*") if file.is_file())
    pd.testing.assert_frame_equal(table, rows(undisturbed))
    assert [file.name for file in parts(crops)] == [file.name for file in parts(undisturbed)]


def test_crops_are_those_of_the_crop_stage_and_failures_say_why(album: Path, crops: Path, tmp_path: Path) -> None:
    table = rows(crops)
    for name, (_, reason) in broken_files().items():
        row = table.loc[str(album / name)]
        assert row["found"] == "unreadable"
        assert reason in row["problem"]
        assert row["crop"] is None
    portraits = write_portraits(album, copies=COPIES)
    made = make_crops(portraits, tmp_path, workers=1, device="cpu", progress=False)
    assert len(portraits) == COPIES * len(files())
    for image, path in zip(portraits["image"], portraits["path"], strict=True):
        stored = cv2.imdecode(np.frombuffer(table.loc[str(path), "crop"], np.uint8), cv2.IMREAD_COLOR_RGB)
        # The other images of a batch, padded to one size, move a landmark by some hundredths of a pixel.
        assert np.abs(stored.astype(int) - made.read(image)).mean() < 2


def test_an_image_without_a_face_is_cut_at_the_usual_place(album: Path, crops: Path) -> None:
    row = rows(crops).loc[str(album / "nobody.jpg")]
    assert row["found"] == "prior"
    # The point between the eyes at half the width and 0.42 of the height, 0.18 of the shorter side between them.
    assert list(row[["left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y"]]) == [132, 84, 168, 84]
    assert row["crop"] is not None


def test_the_manifest_counts_what_is_in_the_parts(crops: Path) -> None:
    manifest = json.loads((crops / MANIFEST).read_text())
    table = rows(crops)
    assert manifest["rows"] == manifest["images"] == len(table) == sum(part["rows"] for part in manifest["parts"])
    assert manifest["failed"] == (table["found"] == "unreadable").sum() == len(broken_files())
    assert [part["file"] for part in manifest["parts"]] == [file.name for file in parts(crops)]


def test_a_repeated_command_makes_only_the_parts_that_are_missing(
    cluster: str, album: Path, crops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.stat().st_mtime_ns for file in parts(crops)}
    lost = parts(crops)[3]
    lost.unlink()
    crop_shards.main(crop_shards.Options((str(album),), cluster, str(crops), PART))
    after = {file: file.stat().st_mtime_ns for file in parts(crops)}
    assert {file for file, time in after.items() if before[file] != time} == {lost}
    images = len([file for file in album.rglob("*") if file.is_file()])
    assert f"crops of {images} images, {len(broken_files())} of them without" in capsys.readouterr().out


def test_a_folder_with_other_parts_is_refused(cluster: str, album: Path, crops: Path) -> None:
    with pytest.raises(UserError, match="of other images, another model or other options"):
        run_job(CropJob(), [str(album)], str(crops), cluster, PART + 1)


def test_predict_on_a_cluster_predicts_as_it_does_here(
    cluster: str, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "model")
    names = [*broken_files(), "nobody.jpg", "person0-0/0.jpg", "person0-1/3.jpg"]
    photographs = tuple(str(album / name) for name in names)
    for options in (
        predict.Options(photographs, model, device="cpu", out=str(tmp_path / "here.csv")),
        predict.Options(photographs, model, device="cpu", out=str(tmp_path / "there"), cluster=cluster, part_size=3),
    ):
        with pytest.raises(SystemExit) as status:
            predict.main(options)
        assert status.value.code == predict.EXIT_SOME_UNREADABLE
    here = pd.read_csv(tmp_path / "here.csv").drop(columns=["drawn", "seconds", "track"])
    there = pd.read_csv(io.StringIO(pd.read_parquet(tmp_path / "there").to_csv(index=False)))
    pd.testing.assert_frame_equal(there, here, check_dtype=False, rtol=1e-6)
    assert f"{len(photographs)} photographs, {len(broken_files())} of them could not be read" in capsys.readouterr().out


@pytest.mark.parametrize("storage", ["memory", "s3"])
def test_a_job_reads_and_writes_in_any_storage(storage: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    place = "memory:///job" if storage == "memory" else f"{request.getfixturevalue('s3')}/job"
    with fsspec.open(f"{place}/0.tar", "wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
        archive.add(write_portraits(tmp_path)["path"][0], "one.jpg")
    with fsspec.open(f"{place}/cut.tar", "wb") as file:
        file.write(b"cut")
    with LocalCluster(1, processes=False, threads_per_worker=1, dashboard_address=None) as here:
        total = run_job(CropJob(), [f"{place}/*.tar"], f"{place}/out", here.scheduler_address, PART)
    assert total == (2, 2, 1)
    fs, folder = fsspec.url_to_fs(f"{place}/out")
    table = pd.concat(pd.read_parquet(io.BytesIO(fs.cat_file(file))) for file in fs.glob(f"{folder}/*.parquet"))
    assert [*table["image"]] == [f"{place}/0.tar/one.jpg", f"{place}/cut.tar"]
    assert [*table["found"]] == ["detected", "unreadable"]


class Failing(CropJob):
    """Raises for one image what no image is to blame for."""

    def rows(self, images: Iterable[SourceFile]) -> Iterator[Row]:
        for file in images:
            if "nobody" in file.name:
                raise ConnectionError("the storage is away")
            yield unread_source(file.name, "not looked at").row


def test_a_part_that_fails_is_named_and_the_others_are_kept(cluster: str, album: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)1 part of .* are kept.*ConnectionError: the storage is away"):
        run_job(Failing(), [str(album)], str(tmp_path), cluster, PART)
    assert len(parts(tmp_path)) == len(split([str(album)], PART)) - 1
    assert not (tmp_path / MANIFEST).exists()


def test_a_job_in_which_nothing_works_stops_at_its_first_part(cluster: str, album: Path, tmp_path: Path) -> None:
    job = PredictJob(tmp_path / "gone.zip", "fingerprint", device="cpu")
    with pytest.raises(UserError, match=r"(?s)^1 part of .*gone.zip does not exist"):
        run_job(job, [str(album)], str(tmp_path / "out"), cluster, PART)


def test_a_worker_with_another_model_is_named(album: Path, tmp_path: Path) -> None:
    job = PredictJob(write_model(tmp_path / "model"), "fingerprint of another", device="cpu")
    with pytest.raises(UserError, match="another model"):
        write_part(job, split([str(album)], PART)[0], str(tmp_path))


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:1", "http://127.0.0.1:1"])
def test_an_unreachable_scheduler_is_refused(album: Path, tmp_path: Path, address: str) -> None:
    with pytest.raises(UserError, match="no Dask scheduler answers there"):
        run_job(CropJob(), [str(album)], str(tmp_path / "out"), address, PART)


def test_a_service_that_is_no_scheduler_is_refused_too(album: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match="no Dask scheduler answers there"):
            run_job(CropJob(), [str(album)], str(tmp_path / "out"), address, PART)


def test_a_scheduler_without_workers_and_workers_of_another_version_are_refused(album: Path, tmp_path: Path) -> None:
    with scheduler(tmp_path) as address:
        with pytest.raises(UserError, match="has no workers"):
            run_job(CropJob(), [str(album)], str(tmp_path / "out"), address, PART)
        (tmp_path / "face18-9.9.dist-info").mkdir()
        (tmp_path / "face18-9.9.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: face18\nVersion: 9.9\n")
        with worker(address, tmp_path, "other", path=(tmp_path,)), Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=LIMIT)
            with pytest.raises(UserError, match=r"(?s)workers differ from the client.*face18 9\.9"):
                run_job(CropJob(), [str(album)], str(tmp_path / "out"), address, PART)


def test_a_worker_of_another_python_or_without_face18_is_named() -> None:
    def about(python: str, face18: str | None) -> dict[str, dict[str, str | None]]:
        return {"host": {"python": f"{python}.7.final.0"}, "packages": {"face18": face18}}

    refuse_other_versions(about("3.11", "1.0"), {"tcp://a": about("3.11", "1.0")})
    with pytest.raises(
        UserError, match=r"tcp://b: Python 3.12, face18 1.0\n  tcp://c: Python 3.11, face18 not installed"
    ):
        refuse_other_versions(about("3.11", "1.0"), {"tcp://b": about("3.12", "1.0"), "tcp://c": about("3.11", None)})
