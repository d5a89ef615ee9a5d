import math

import pytest
import torch

from shared.training.fit import Schedule, SchedulerName

EPOCHS, BATCHES, LR = 6, 10, 0.1


def rates(name: SchedulerName, scores: list[float] | None = None, epochs: int = EPOCHS) -> list[float]:
    """The learning rate at the start of each epoch, and after the last."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    schedule = Schedule(name, optimizer, epochs, BATCHES, LR)
    seen = [optimizer.param_groups[0]["lr"]]
    for epoch in range(epochs):
        for _ in range(BATCHES):
            optimizer.step()
            schedule.after_batch()
        schedule.after_epoch(scores[epoch] if scores else epoch)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def test_none_leaves_the_rate_alone() -> None:
    assert rates("none") == [LR] * (EPOCHS + 1)


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
def test_a_restored_schedule_goes_on_as_if_never_stopped(name: SchedulerName) -> None:
    def fresh() -> tuple[torch.optim.Optimizer, Schedule]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR)
        return optimizer, Schedule(name, optimizer, EPOCHS, BATCHES, LR)

    def epochs(optimizer: torch.optim.Optimizer, schedule: Schedule, count: int) -> None:
        for _ in range(count * BATCHES):
            optimizer.step()
            schedule.after_batch()
        schedule.after_epoch(0.5)

    first_optimizer, first = fresh()
    epochs(first_optimizer, first, 2)
    second_optimizer, second = fresh()
    second_optimizer.load_state_dict(first_optimizer.state_dict())
    second.load_state_dict(first.state_dict())
    epochs(first_optimizer, first, 2)
    epochs(second_optimizer, second, 2)
    assert second_optimizer.param_groups[0]["lr"] == first_optimizer.param_groups[0]["lr"]
