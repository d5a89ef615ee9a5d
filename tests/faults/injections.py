"""Faults to inject at random, again and again: each call injects some and checks that nothing came of them."""

from collections.abc import Callable
from pathlib import Path

from ground import Ground
from numpy.random import Generator
from spoils import change_images, crop_at_once, cut_file, fill_disk, spoil_images, spoil_tables
from stops import (
    interrupt_combine,
    interrupt_crop,
    interrupt_predict,
    interrupt_train,
    interrupt_tune,
    kill_combine,
    kill_crop,
    kill_predict,
    kill_train,
    kill_train_at_a_moment,
    kill_train_at_a_write,
    kill_tune,
    orphan_readers,
)

Injection = Callable[[Ground, Path, Generator], int]

INJECTIONS: dict[str, Injection] = {
    "kill -9, crop": kill_crop,
    "kill -9, train": kill_train,
    "kill -9, train, before a write": kill_train_at_a_write,
    "kill -9, train, any moment": kill_train_at_a_moment,
    "kill -9, predict": kill_predict,
    "kill -9, tune": kill_tune,
    "kill -9, combine": kill_combine,
    "kill -9, main process of train": orphan_readers,
    "Ctrl-C, crop": interrupt_crop,
    "Ctrl-C, train": interrupt_train,
    "Ctrl-C, predict": interrupt_predict,
    "Ctrl-C, tune": interrupt_tune,
    "Ctrl-C, combine": interrupt_combine,
    "two or four crop runs at once": crop_at_once,
    "images change while cropped": change_images,
    "full disk, train": fill_disk,
    "file of a run cut short": cut_file,
    "spoilt image files": spoil_images,
    "spoilt tables": spoil_tables,
}
