"""Several processes, half precision, and two trainings in one folder; on the CPU."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from tiny_training import FLAGS, write_data

from pipelines.gender.specialist import GENDER
from shared.messages import UserError
from shared.training.fit import Epoch
from shared.training.inference import accelerator_for, check_batch_size
from shared.training.model import Network
from shared.training.options import TrainOptions
from shared.training.run import RunContext, train

ROOT = Path(__file__).parents[1]

# Without batch norm, whose statistics are those of each process.
ON_TWO = {**FLAGS, "backbone": "test_vit", "epochs": 2, "drawn_masks": 0.0, "weight_decay": 0.0, "lr": 1e-3}


def train_command(options: TrainOptions, **more: object) -> list[str]:
    """Return the command line of these options and of some more."""
    command = ["-m", "pipelines.gender.train"]
    for name in ("data", "crops", "outputs", *ON_TWO, *more):
        value = {**options.values(), **more}[name]
        flag = name.replace("_", "-")
        command += [f"--no-{flag}"] if value is False else [f"--{flag}", str(value)]
    return command


def run_on(processes: int, command: list[str]) -> list[subprocess.CompletedProcess[str]]:
    """Run a command in that many processes of one group, as torchrun starts them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    started = [
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    ends = [(process.args, *process.communicate(timeout=240)) for process in started]
    return [
        subprocess.CompletedProcess(args, process.returncode, out, err)
        for process, (args, out, err) in zip(started, ends, strict=True)
    ]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    folder = tmp_path_factory.mktemp("processes")
    write_data(folder)
    return TrainOptions.of(data=folder / "data", crops=folder / "crops", outputs=folder / "one", **ON_TWO)


def test_two_processes_continue_what_one_began_to_the_same_weights(here: TrainOptions, tmp_path: Path) -> None:
    one, two = here.run.outputs or Path(), tmp_path / "two"
    # After the first of two epochs, the other run starts from a copy of this one.
    train(GENDER, here, RunContext(after_epoch=lambda _, epoch: copytree(one, two) if epoch.epoch == 0 else None))
    ends = run_on(2, train_command(here.with_values(outputs=two)))
    assert [done.returncode for done in ends] == [0, 0], ends
    assert sum("results in" in done.stdout for done in ends) == 1
    histories = [pd.read_csv(run / "fold0/history.csv")[["epoch", "lr", "loss"]] for run in (one, two)]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)
    weights = [load_file(run / "fold0/weights.safetensors") for run in (one, two)]
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(tensor, weights[1][name], atol=2e-4, err_msg=name)
    predictions = [pd.read_csv(run / "fold0/oof.csv") for run in (one, two)]
    pd.testing.assert_frame_equal(*predictions, rtol=1e-2, atol=1e-3)


def test_processes_stop_together_when_the_loss_is_no_number(here: TrainOptions, tmp_path: Path) -> None:
    options = here.with_values(outputs=tmp_path / "two", lr=1e30)
    for done in run_on(2, train_command(options, scheduler="none")):
        assert done.returncode == 2, done.stderr
        assert "try a lower --lr" in done.stderr


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    class Three:
        num_processes = 3

    with pytest.raises(UserError, match="--batch-size 32 is split over 3 processes: take a multiple of 3"):
        check_batch_size(32, Three())  # type: ignore[arg-type]
    check_batch_size(33, Three())  # type: ignore[arg-type]


def test_a_second_training_in_a_folder_is_refused_and_the_first_is_unharmed(here: TrainOptions, tmp_path: Path) -> None:
    refused = []

    def disturb(fold: int, epoch: Epoch) -> None:
        del fold, epoch
        refused.extend(run_on(1, train_command(options)))

    options = here.with_values(epochs=1, outputs=tmp_path / "disturbed")
    alone = here.with_values(epochs=1, outputs=tmp_path / "alone")
    train(GENDER, alone)
    train(GENDER, options, RunContext(after_epoch=disturb))
    assert refused[0].returncode == 2
    assert f"{options.run.outputs} is in use by another process" in refused[0].stderr
    for file in ("fold0/weights.safetensors", "oof.csv", "eval.csv"):
        assert (tmp_path / "disturbed" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()


def test_half_precision_trains_after_full_precision_in_one_process_and_spares_the_head(
    here: TrainOptions, tmp_path: Path
) -> None:
    train(GENDER, here.with_values(outputs=tmp_path / "full", epochs=1))
    train(GENDER, here.with_values(outputs=tmp_path / "half", epochs=1, mixed_precision="bf16"))
    assert (tmp_path / "half/oof.csv").exists()
    network = Network("test_efficientnet", 101, 0.0, pretrained=False).eval()
    images = torch.randint(0, 255, (2, 32, 32, 3), dtype=torch.uint8)
    with accelerator_for("cpu", "bf16").autocast():
        assert network(images).dtype == torch.float32
        assert network.backbone.forward_features(images.permute(0, 3, 1, 2) / 255).dtype == torch.bfloat16


def test_precision_for_the_launcher_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(UserError, match="give --mixed-precision bf16 to the command itself"):
        accelerator_for("cpu")
    accelerator_for("cpu", "bf16")
