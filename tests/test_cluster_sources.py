"""Images from folders, lists, shards and object stores, as one stream of files."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from shared.cluster import Part, split
from shared.messages import UserError

IMAGES = {"a/1.jpg": b"one", "a/2.PNG": b"two", "b[1]/3.jpg": b"three"}
OTHERS = {"a/1.json": b"{}", "a/.4.jpg": b"hidden"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a bucket on a server of moto on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        S3FileSystem.clear_instance_cache()
        S3FileSystem().makedirs("bucket", exist_ok=True)
        yield "s3://bucket"
    S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(params=["path", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder to write to, in each kind of storage."""
    folders = {"path": str(tmp_path), "memory": f"memory:///{tmp_path.name}"}
    return folders.get(request.param) or f"{request.getfixturevalue('s3')}/{tmp_path.name}"


def write(address: str, content: bytes) -> str:
    fs, path = fsspec.url_to_fs(address)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    fs.pipe_file(path, content)
    return address


def shard(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def read(*sources: str, size: int = 2) -> dict[str, bytes | str]:
    """The content of each image, or its problem."""
    files = [file for part in split(sources, size) for file in part.read()]
    assert len({file.name for file in files}) == len(files)
    return {file.name: file.problem or file.content for file in files}


def test_a_folder_gives_the_images_in_it_and_below(place: str) -> None:
    for name, content in (IMAGES | OTHERS).items():
        write(f"{place}/{name}", content)
    assert read(place) == {f"{place}/{name}": content for name, content in IMAGES.items()}
    assert read(f"{place}/a/*.jpg") == {f"{place}/a/1.jpg": b"one"}


def test_a_shard_gives_its_images_without_what_else_is_in_it(place: str) -> None:
    for number in range(2):
        write(f"{place}/{number}.tar", shard(IMAGES | OTHERS))
    expected = {f"{place}/{number}.tar/{name}": content for number in range(2) for name, content in IMAGES.items()}
    assert read(place) == read(f"{place}/?.tar") == expected


def test_a_list_names_images_and_shards_and_a_missing_one_is_a_problem_of_its_own(place: str) -> None:
    write(f"{place}/1.jpg", b"one")
    write(f"{place}/2.tar", shard({"2.jpg": b"two"}))
    names = write(f"{place}/names.txt", f"1.jpg\r\n{place}/gone.jpg\n\n2.tar\ngone.tar\n".encode())
    problems = read(names)
    assert problems.pop(f"{place}/gone.jpg") in ("no such file", "no such file or directory")
    assert problems.pop(f"{place}/gone.tar") == "no such file"
    assert problems == {f"{place}/1.jpg": b"one", f"{place}/2.tar/2.jpg": b"two"}


@pytest.mark.parametrize("kept", [0, 100, 512, 1024, 1200, 1536, 2048, 2500])
def test_a_shard_cut_anywhere_gives_its_whole_images_and_says_that_it_is_cut(tmp_path: Path, kept: int) -> None:
    path = write(f"{tmp_path}/cut.tar", shard({"1.jpg": b"x" * 512, "2.jpg": b"y" * 300})[:kept])
    files = read(path)
    problem = files.pop(path)
    whole = {f"{path}/1.jpg": b"x" * 512} if kept >= 1024 else {}
    whole |= {f"{path}/2.jpg": b"y" * 300} if kept >= 2048 else {}
    assert files == whole
    assert str(problem).startswith(f"the shard is cut short or broken after {len(whole)} image")


def test_parts_have_names_that_depend_on_images_and_on_what_is_made_of_them() -> None:
    part = Part(3, ("a.jpg", "b.jpg"))
    assert part.file_name("model") == Part(3, ("a.jpg", "b.jpg")).file_name("model")
    assert len({part.file_name("model"), part.file_name("other"), Part(3, ("a.jpg",)).file_name("model")}) == 3
    assert part.file_name("model").startswith("part-000003-")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{folder}/gone", "no such file or folder"),
        ("{folder}", "names no image"),
        ("{folder}/latin.txt", "utf-8"),
        ("nonsense://bucket", "Protocol not known"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9.jpg\n")
    source = source.format(folder=tmp_path)
    with pytest.raises(UserError, match=reason) as refusal:
        split([source], 10)
    assert source in str(refusal.value)


def test_missing_credentials_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match="s3://bucket/photos cannot be read: Unable to locate credentials"):
        split(["s3://bucket/photos"], 10)
