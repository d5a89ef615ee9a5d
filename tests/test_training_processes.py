"""Several processes, half precision, and two trainings in one folder; on the CPU."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm.layers
import torch
from safetensors.numpy import load_file
from tiny_training import FLAGS, write_data

from pipelines.gender.specialist import GENDER
from shared.messages import UserError
from shared.tracking import read_run_json
from shared.training import run_folder
from shared.training.inference import accelerator_for, check_batch_size
from shared.training.model import Network
from shared.training.options import TrainOptions
from shared.training.run import RunContext, train
from shared.training.run_folder import Epoch

ROOT = Path(__file__).parents[1]

# Without batch norm, whose statistics on a CPU are those of each process.
ON_TWO = {**FLAGS, "backbone": "test_vit", "epochs": 2, "drawn_masks": 0.0, "weight_decay": 0.0, "lr": 1e-3}

TORCHRUN = "torch.distributed.run --standalone --nproc_per_node 2"
ACCELERATE = "accelerate.commands.launch --cpu --num_processes 2 --num_machines 1 --mixed_precision no"
"""What `torchrun` and `accelerate launch` start."""


def train_command(options: TrainOptions, **more: object) -> list[str]:
    """Return the command line of these options and of some more."""
    command = ["-m", "pipelines.gender.train"]
    for name in ("data", "crops", "outputs", *ON_TWO, *more):
        value = {**options.values(), **more}[name]
        flag = name.replace("_", "-")
        command += [f"--no-{flag}"] if value is False else [f"--{flag}", str(value)]
    return command


def launch(command: list[str], launcher: str = "") -> "subprocess.Popen[str]":
    """Start a command, by a launcher on two processes; its output ends when all its processes have ended."""
    words = ["-m", *launcher.split()] if launcher else []
    return subprocess.Popen(
        [sys.executable, *words, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def ended(command: list[str], launcher: str = "") -> tuple[int, str]:
    """Return the exit status of a command, and what it printed."""
    process = launch(command, launcher)
    printed, _ = process.communicate(timeout=300)
    return process.returncode, printed


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> TrainOptions:
    folder = tmp_path_factory.mktemp("processes")
    # An odd number of held-out images, which two processes cannot share evenly.
    write_data(folder, persons=26)
    return TrainOptions.of(data=folder / "data", crops=folder / "crops", outputs=folder / "one", **ON_TWO)


@pytest.fixture(scope="module")
def on_two(here: TrainOptions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an undisturbed training by torchrun on two processes."""
    options = here.with_values(outputs=tmp_path_factory.mktemp("two") / "run")
    status, printed = ended(train_command(options), TORCHRUN)
    assert status == 0, printed
    assert printed.count("results in") == 1, "one process reports"
    assert options.run.outputs
    return options.run.outputs


@pytest.fixture(scope="module")
def on_one(here: TrainOptions) -> Path:
    """The run folder of the same training in this process."""
    train(GENDER, here)
    assert here.run.outputs
    return here.run.outputs


def test_two_processes_train_and_score_as_one_with_the_same_batch(on_one: Path, on_two: Path) -> None:
    """Updates, rates, weights and scores are equal but for rounding; every held-out image is predicted once."""
    runs = on_one, on_two
    histories = [pd.read_csv(run / "fold0/history.csv")[["epoch", "lr", "loss", "macro_f1"]] for run in runs]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)
    weights = [load_file(run / "fold0/weights.safetensors") for run in runs]
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(tensor, weights[1][name], atol=2e-4, err_msg=name)
    predictions = [pd.read_csv(run / "fold0/oof.csv") for run in runs]
    assert len(predictions[0]) % 2 == 1
    assert predictions[1]["image"].is_unique
    pd.testing.assert_frame_equal(*predictions, rtol=1e-2, atol=1e-3)
    scores = [read_run_json(run)["scores"]["held out"]["macro_f1"] for run in runs]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)


def test_a_killed_process_ends_all_and_torchrun_continues_to_the_bytes_of_an_undisturbed_training(
    here: TrainOptions, on_two: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = train_command(here.with_values(outputs=run))
    torchrun = launch(command, TORCHRUN)
    while not (run / "fold0/resume.pt").exists():
        assert torchrun.poll() is None, torchrun.communicate()
        time.sleep(0.01)
    os.kill(int(Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()[1]), signal.SIGKILL)
    torchrun.communicate(timeout=300)
    assert torchrun.returncode != 0
    assert not (run / "fold0/oof.csv").exists()
    with pytest.raises(UserError, match=r"resume.pt: the number of processes was 2, now 1. Continue with 2 \(torchrun"):
        train(GENDER, here.with_values(outputs=run))
    status, printed = ended(command, TORCHRUN)
    assert status == 0, printed
    for file in ("fold0/weights.safetensors", "fold0/oof.csv", "oof.csv", "eval.csv"):
        assert (run / file).read_bytes() == (on_two / file).read_bytes(), file


def test_processes_of_accelerate_launch_train_too_and_stop_together_when_the_loss_is_no_number(
    here: TrainOptions, tmp_path: Path
) -> None:
    options = here.with_values(outputs=tmp_path / "two", lr=1e30)
    status, printed = ended(train_command(options, scheduler="none"), ACCELERATE)
    assert status != 0
    assert "try a lower --lr" in printed


def test_a_run_folder_that_the_other_machine_does_not_see_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "VISIBLE_SECONDS", 0.2)
    with pytest.raises(UserError, match="name --outputs on a file system that all machines share"):
        run_folder.wait_until_visible(tmp_path)
    (tmp_path / "run.json").touch()
    run_folder.wait_until_visible(tmp_path)


def test_batch_norms_over_all_processes_are_saved_and_score_as_usual() -> None:
    images = torch.randint(0, 255, (4, 32, 32, 3), dtype=torch.uint8)
    network = Network("test_efficientnet", 2, 0.0, pretrained=False)
    before, scored = network.state_dict(), network.eval()(images)
    synced = timm.layers.convert_sync_batchnorm(network)
    assert any(isinstance(module, torch.nn.SyncBatchNorm) for module in synced.modules())
    assert synced.state_dict().keys() == before.keys()
    torch.testing.assert_close(synced(images), scored)


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    class Three:
        num_processes = 3

    with pytest.raises(UserError, match="--batch-size 32 is split over 3 processes: take a multiple of 3"):
        check_batch_size(32, Three())  # type: ignore[arg-type]
    check_batch_size(33, Three())  # type: ignore[arg-type]


def test_a_second_training_in_a_folder_is_refused_and_the_first_is_unharmed(here: TrainOptions, tmp_path: Path) -> None:
    refused: list[str] = []

    def disturb(fold: int, epoch: Epoch) -> None:
        del fold, epoch
        with pytest.raises(UserError) as refusal:
            train(GENDER, options)
        refused.append(str(refusal.value))

    options = here.with_values(epochs=1, outputs=tmp_path / "disturbed")
    alone = here.with_values(epochs=1, outputs=tmp_path / "alone")
    train(GENDER, alone)
    train(GENDER, options, RunContext(after_epoch=disturb))
    assert len(refused) == 1
    assert f"{options.run.outputs} is in use by another process" in refused[0]
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
