"""Predictions for video files and webcams: faces are followed, and each person is predicted from all frames so far.

Faces of successive frames belong to one track if their boxes overlap: those pairs are chosen of which the sum of the
intersections over union is largest, as in SORT (Bewley et al., ICIP 2016), here without its model of motion. The
probabilities of a track are averaged over frames as distributions, and decided afterwards.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.faces.image_io import ENOUGH_SIDE, from_pixels
from shared.fusion.metrics import Floats
from shared.predictor.detect import GROUP_SIDE, DecodedPhotograph, FaceSelection, Pixels
from shared.predictor.predictor import Predictor
from shared.predictor.results import Photograph

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
"""Suffixes, in lower case, of the files that are read as videos."""

WEBCAM = re.compile(r"webcam(?::(\d+))?")
"""The first webcam of the machine, or the one with a number from 0."""

SAME_PERSON = 0.3
"""Intersection over union from which boxes of two frames show one person."""

PATIENCE = 5
"""Frames looked at without a face after which its track ends."""

FRAMES_TOGETHER = 8
"""Frames of a file that go through the networks together; those of a webcam go one by one."""

MISSING = 0.05
"""Share of the frames that a file announces from which it counts as cut short; some formats only estimate them."""


def is_video(source: str) -> bool:
    """Return whether a source is read as a video: by the suffix of a file, or the name of a webcam."""
    return is_webcam(source) or Path(source).suffix.lower() in VIDEO_SUFFIXES


def is_webcam(source: str) -> bool:
    """Return whether a source is `webcam` or `webcam:N`."""
    return WEBCAM.fullmatch(source) is not None


class Video:
    """The frames of a video file or a webcam, `per_second` of them; yields seconds from the start and RGB pixels.

    `problem` says afterwards, in a few words, what went wrong; None for a whole video.
    """

    def __init__(self, source: str, per_second: float):
        self.source, self.per_second = source, per_second
        self.problem: str | None = None
        # FFmpeg, the reader in OpenCV, would write about every fault to standard error.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        webcam = WEBCAM.fullmatch(source)
        self.live = webcam is not None
        if webcam:
            self._capture = cv2.VideoCapture(int(webcam[1] or 0))
        else:
            # An existing file only: OpenCV would open addresses of the network, too.
            self._capture = cv2.VideoCapture(source if Path(source).is_file() else "", cv2.CAP_FFMPEG)
        self._announced = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self._rate = self._capture.get(cv2.CAP_PROP_FPS)

    @property
    def expected(self) -> int | None:
        """About how many frames will be yielded; None if that is unknown."""
        if self.live or self._announced <= 0 or self._rate <= 0:
            return None
        return max(1, round(self._announced * min(1.0, self.per_second / self._rate)))

    def __iter__(self) -> Iterator[tuple[float, Pixels]]:
        if not self._capture.isOpened():
            self.problem = self._why_closed()
            return
        started, count, seconds, due = time.monotonic(), 0, 0.0, 0.0
        while self._capture.grab():
            count += 1
            seconds = time.monotonic() - started if self.live else self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if seconds < due - 1e-3:
                continue
            due = max(due + 1 / self.per_second, seconds)
            _, pixels = self._capture.retrieve()
            yield seconds, np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
        if self.live:
            self.problem = "the webcam delivers no more frames"
        elif not count:
            self.problem = "a video without a frame"
        elif count < (1 - MISSING) * self._announced:
            self.problem = f"cut short: it ends after {seconds:.1f} of {self._announced / self._rate:.1f} s"

    def _why_closed(self) -> str:
        if self.live:
            return "no such webcam, or another program uses it"
        try:
            return "not a readable video, or cut short" if Path(self.source).stat().st_size else "empty file"
        except OSError as error:
            return (error.strerror or "cannot be read").lower()


@dataclass
class Track:
    """A face that is followed through a video."""

    number: int
    box: NDArray[np.float64]
    """Of the last frame that showed it."""
    totals: dict[str, Floats]
    """Sum over frames of the probabilities (F, K) by each specialist."""
    frames: int = 1
    missed: int = 0
    """Frames looked at since the last that showed it."""


class Tracker:
    """Follows faces from frame to frame."""

    def __init__(self) -> None:
        self._tracks: list[Track] = []
        self._started = 0

    def follow(self, boxes: NDArray[np.float64], probabilities: Mapping[str, Floats]) -> list[Track]:
        """Return the track of each of N faces of the next frame, with the face added.

        `boxes` (N, 4) are x0, y0, x1, y1; `probabilities` (F, N, K) are those of each specialist.
        """
        for track in self._tracks:
            track.missed += 1
        known = self._assigned(boxes)
        followed = []
        for at, box in enumerate(boxes):
            each = {task: table[:, at] for task, table in probabilities.items()}
            if at in known:
                track = known[at]
                track.box, track.missed, track.frames = box, 0, track.frames + 1
                track.totals = {task: track.totals[task] + table for task, table in each.items()}
            else:
                self._started += 1
                track = Track(self._started, box, each)
                self._tracks.append(track)
            followed.append(track)
        self._tracks = [track for track in self._tracks if track.missed < PATIENCE]
        return followed

    def _assigned(self, boxes: NDArray[np.float64]) -> dict[int, Track]:
        """Return the earlier track of each face that has one, by the face's index."""
        if not self._tracks or not len(boxes):
            return {}
        from scipy.optimize import linear_sum_assignment

        overlaps = intersection_over_union(boxes, np.stack([track.box for track in self._tracks]))
        # Pairs below the limit must not take a face from a pair above it.
        usable = np.where(overlaps >= SAME_PERSON, overlaps, 0)
        pairs = zip(*linear_sum_assignment(usable, maximize=True), strict=True)
        return {int(face): self._tracks[track] for face, track in pairs if usable[face, track]}


def intersection_over_union(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the overlap (N, M) of each of N boxes (N, 4) with each of M (M, 4), as x0, y0, x1, y1.

    >>> intersection_over_union(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2.0], [2, 0, 3, 2]])).round(2).tolist()
    [[0.33, 0.0]]
    """
    sides = np.minimum(one[:, None, 2:], other[None, :, 2:]) - np.maximum(one[:, None, :2], other[None, :, :2])
    common = sides.clip(min=0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    return np.asarray(common / (areas[0][:, None] + areas[1][None] - common))


def predict_video(predictor: Predictor, video: Video, faces: FaceSelection = "all") -> Iterator[Photograph]:
    """Yield a `Photograph` for each frame, with `seconds`; its faces have a `track`.

    A face's predictions are those of its track: the mean over this frame and all earlier ones. The last frame of a
    track therefore has the best ones. At the end comes one without faces if the video has a problem.
    """
    tracker, frames = Tracker(), iter(video)
    while chunk := list(islice(frames, 1 if video.live else FRAMES_TOGETHER)):
        detected = predictor.detect([_decoded(video.source, pixels) for _, pixels in chunk], faces)
        crops = [face.crop for photograph in detected for face in photograph.faces]
        probabilities = predictor.probabilities(crops) if crops else {}
        end = 0
        for (seconds, _), photograph in zip(chunk, detected, strict=True):
            first, end = end, end + len(photograph.faces)
            tracks = tracker.follow(
                np.array([face.box for face in photograph.faces]).reshape(-1, 4),
                {task: table[:, first:end] for task, table in probabilities.items()},
            )
            means = {
                task: np.stack([track.totals[task] / track.frames for track in tracks], axis=1)
                for task in probabilities
                if tracks
            }
            (decided,) = predictor.decide([photograph], means)
            followed = tuple(
                replace(face, track=track.number) for face, track in zip(decided.faces, tracks, strict=True)
            )
            yield replace(decided, faces=followed, seconds=round(seconds, 3))
    if video.problem:
        yield Photograph(video.source, 0, 0, (), video.problem)


def _decoded(source: str, pixels: Pixels) -> DecodedPhotograph:
    return DecodedPhotograph(source, from_pixels(pixels, ENOUGH_SIDE), from_pixels(pixels, GROUP_SIDE), upright=True)
