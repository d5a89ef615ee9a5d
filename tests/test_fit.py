"""Schedules, label smoothing and mixup, against plain calculations and torch's own."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from shared.training.fit import Schedule, mixup, smoothed
from shared.training.options import SchedulerName

EPOCHS, BATCHES, LR = 6, 10, 0.1


def started(name: SchedulerName, epochs: int = EPOCHS) -> tuple[torch.optim.Optimizer, Schedule]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    return optimizer, Schedule(name, optimizer, epochs, BATCHES, LR)


def one_epoch(optimizer: torch.optim.Optimizer, schedule: Schedule, score: float) -> float:
    """Return the learning rate after an epoch."""
    for _ in range(BATCHES):
        optimizer.step()
        schedule.after_batch()
    schedule.after_epoch(score)
    return float(optimizer.param_groups[0]["lr"])


def rates(name: SchedulerName, scores: list[float] | None = None, epochs: int = EPOCHS) -> list[float]:
    """Return the learning rate at the start of each epoch, and after the last."""
    optimizer, schedule = started(name, epochs)
    first = optimizer.param_groups[0]["lr"]
    return [first, *(one_epoch(optimizer, schedule, scores[at] if scores else at) for at in range(epochs))]


def test_cosine_falls_along_half_a_cosine() -> None:
    expected = [LR * (1 + math.cos(math.pi * epoch / EPOCHS)) / 2 for epoch in range(EPOCHS + 1)]
    assert rates("cosine") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("epochs", "falls"),
    [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 1, 2]), (5, [0, 0, 1, 2, 2]), (8, [0, 0, 0, 1, 1, 2, 2, 2])],
)
def test_step_falls_to_a_tenth_after_each_of_two_thirds(epochs: int, falls: list[int]) -> None:
    assert rates("step", epochs=epochs)[:epochs] == pytest.approx([LR * 0.1**times for times in falls])


def test_one_cycle_rises_to_the_given_rate_and_falls_to_almost_nothing() -> None:
    seen = rates("one-cycle")
    assert max(seen) == pytest.approx(LR, rel=0.02)
    assert seen[0] == pytest.approx(LR / 25)
    assert seen[-1] < LR / 500


def test_plateau_falls_when_the_score_stops_rising() -> None:
    assert rates("plateau", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == [LR] * (EPOCHS + 1)
    assert rates("plateau", [0.5] * EPOCHS)[-1] < LR


@pytest.mark.parametrize("name", ["step", "cosine", "one-cycle", "plateau", "none"])
def test_a_restored_schedule_continues_as_if_never_stopped(name: SchedulerName) -> None:
    first, second = started(name), started(name)
    one_epoch(*first, 0.5)
    second[0].load_state_dict(first[0].state_dict())
    second[1].load_state_dict(first[1].state_dict())
    assert [one_epoch(*first, 0.5) for _ in range(3)] == [one_epoch(*second, 0.5) for _ in range(3)]


def test_smoothed_cross_entropy_is_that_of_torch() -> None:
    logits, targets = torch.randn(8, 3), torch.arange(8) % 3
    expected = cross_entropy(logits, targets, label_smoothing=0.1)
    assert smoothed(cross_entropy, 0.1)(logits, targets).item() == pytest.approx(expected.item())
    assert smoothed(cross_entropy, 0.0) is cross_entropy


def test_mixup_weighs_both_labels_by_their_share_of_the_image() -> None:
    # One-hot images: their blend shows the share of each.
    seen, loss_of = mixup(torch.eye(4), cross_entropy, 0.4)
    logits = torch.randn(4, 4)
    by_hand = -(seen * logits.log_softmax(1)).sum(1).mean()
    assert seen.sum(1).tolist() == pytest.approx([1.0] * 4)
    assert loss_of(logits, torch.arange(4)).item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert mixup(seen, cross_entropy, 0.0) == (seen, cross_entropy)
