"""Videos: frames by time, persons followed, predictions averaged over frames, and files that end too early."""

import csv
import doctest
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_faces import portraits
from tiny_model import write_model

from shared.commands import parse
from shared.predict import Options, main
from shared.predictor import Predictor, video
from shared.predictor.video import Tracker, Video, is_video

RATE, FRAMES = 10, 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "outputs")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds: a person walks to the right at the left side, a second one stands at the right from the middle."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), RATE, (900, 540))
    bare = [portrait.pixels[..., ::-1] for portrait in portraits() if portrait.kind == "normal"]
    for number in range(FRAMES):
        frame = np.full((540, 900, 3), 120, np.uint8)
        frame[14:526, 10 + 5 * number : 394 + 5 * number] = bare[0]
        if number >= FRAMES // 2:
            frame[14:526, 510:894] = bare[1]
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def rows(model: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Iterator[dict[str, str]]]:
    def read(*words: str) -> Iterator[dict[str, str]]:
        main(parse(Options(), [*words, "--model", str(model), "--device", "cpu", "--format", "csv"]))
        return csv.DictReader(io.StringIO(capsys.readouterr().out))

    return read


def test_csv_has_a_row_for_each_face_at_each_time_and_a_track_for_each_person(
    clip: Path, rows: Callable[..., Iterator[dict[str, str]]]
) -> None:
    found = list(rows(str(clip), "--fps", "5"))
    walking = [row for row in found if row["track"] == "1"]
    standing = [row for row in found if row["track"] == "2"]
    assert len(walking) + len(standing) == len(found)
    assert [float(row["seconds"]) for row in walking] == pytest.approx(np.arange(10) / 5)
    assert [float(row["seconds"]) for row in standing] == pytest.approx(np.arange(5, 10) / 5)
    assert float(walking[-1]["x0"]) - float(walking[0]["x0"]) == pytest.approx(5 * 18, abs=15)


def test_the_prediction_of_a_track_is_decided_from_the_mean_of_its_frames(model: Path, clip: Path) -> None:
    predictor = Predictor.load(model, device="cpu")
    last = list(video.predict_video(predictor, Video(str(clip), 2)))[-1]
    frames = [pixels for _, pixels in Video(str(clip), 2)]
    detected = predictor.detect(frames)
    crops = [min(photograph.faces, key=lambda face: face.box[0]).crop for photograph in detected]
    mean = {task: table.mean(axis=1, keepdims=True) for task, table in predictor.probabilities(crops).items()}
    walking = [face for face in detected[-1].faces if face.box[0] < 450]
    (expected,) = predictor.contents.decisions.decide(walking, mean)
    found = next(face for face in last.faces if face.track == 1)
    assert found.mask.probabilities == pytest.approx(expected.mask.probabilities, abs=1e-6)
    assert found.age.years == pytest.approx(expected.age.years, abs=1e-3)


@pytest.mark.parametrize(("per_second", "expected"), [(2, [0, 0.5, 1, 1.5]), (1000, np.arange(FRAMES) / RATE)])
def test_frames_are_chosen_by_time(clip: Path, per_second: float, expected: list[float]) -> None:
    frames = Video(str(clip), per_second)
    assert [seconds for seconds, _ in frames] == pytest.approx(expected)
    assert frames.expected == len(expected)
    assert frames.problem is None


def test_a_video_that_is_cut_short_is_named_and_its_rows_are_kept(
    model: Path, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short, out = tmp_path / "short.avi", tmp_path / "faces.csv"
    data = clip.read_bytes()
    short.write_bytes(data[: len(data) // 2])
    with pytest.raises(SystemExit) as stopped:
        main(parse(Options(), [str(short), "--model", str(model), "--device", "cpu", "--out", str(out)]))
    assert stopped.value.code == 1
    assert "short.avi: cut short: it ends after" in capsys.readouterr().err
    *kept, problem = csv.DictReader(io.StringIO(out.read_text()))
    assert len(kept) >= 3
    assert all(row["track"] for row in kept)
    assert problem["problem"].startswith("cut short")


def test_ctrl_c_ends_a_webcam_and_what_was_predicted_is_kept(
    model: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Webcam:
        """Three frames of the clip, then Ctrl-C."""

        def __init__(self, device: int):
            assert device == 1
            self.frames, self.file = 0, capture(str(clip))

        def grab(self) -> bool:
            self.frames += 1
            if self.frames > 3:
                raise KeyboardInterrupt
            return self.file.grab()

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    out = tmp_path / "faces.csv"
    main(parse(Options(), ["webcam:1", "--fps", "1000", "--model", str(model), "--device", "cpu", "--out", str(out)]))
    kept = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [row["track"] for row in kept] == ["1", "1", "1"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no such file"), (b"", "empty file"), (b"no video at all" * 99, "not a readable video"), ("no frame", "")],
)
def test_a_file_without_frames_has_a_problem(tmp_path: Path, content: bytes | str | None, reason: str) -> None:
    path = tmp_path / "clip.mp4"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (64, 48)).release()
    frames = Video(str(path), 5)
    assert list(frames) == []
    assert reason in (frames.problem or "")
    assert frames.problem


def box(left: float, side: float = 100) -> list[float]:
    return [left, 0, left + side, side]


def test_tracks_follow_boxes_that_overlap_and_end_when_nothing_is_seen() -> None:
    tracker = Tracker()

    def follow(*boxes: list[float]) -> list[int]:
        return [track.number for track in tracker.follow(np.array(boxes).reshape(-1, 4), {})]

    assert follow(box(0), box(200)) == [1, 2]
    assert follow(box(220), box(20), box(500)) == [2, 1, 3]
    # The first face overlaps both earlier ones, but the second only one of them.
    assert follow(box(45), box(500)) == [1, 3]
    for _ in range(video.PATIENCE - 1):
        assert follow() == []
    assert follow(box(500)) == [3]
    for _ in range(video.PATIENCE):
        follow()
    assert follow(box(500)) == [4]


def test_two_faces_are_assigned_so_that_both_keep_their_tracks() -> None:
    tracker = Tracker()
    tracker.follow(np.array([box(0), box(60)]), {})
    # Greedy assignment would give track 2 to the first face, and a new one to the second.
    assert [track.number for track in tracker.follow(np.array([box(35), box(100)]), {})] == [1, 2]


@pytest.mark.parametrize(
    ("source", "expected"), [("a.MP4", True), ("webcam", True), ("webcam:1", True), ("webcam.jpg", False), ("a", False)]
)
def test_videos_are_known_by_name(source: str, expected: bool) -> None:
    assert is_video(source) is expected


def test_the_example_runs() -> None:
    assert doctest.testmod(video, extraglobs={"np": np}).failed == 0
