"""One change of the age specialist at a time: `python -m pipelines.age.ablate`."""

from pipelines.age.options import DEFAULTS
from shared.commands import run
from shared.experiments.options import COMMON_CHANGES, AblateOptions, screening

CHANGES = (
    "loss=l1",
    "loss=bands",
    "loss=corn",
    # The whole crop; the face without the hairline; only brows and eyes, which no mask hides.
    "window=1,0.5,0.5",
    "window=0.75,0.5,0.55",
    "window=0.6,0.5,0.4",
    "lr=0.001",
    "lr=0.004",
    *(change for change in COMMON_CHANGES if change != "lr=0.002"),
)


def main(options: AblateOptions) -> None:
    # Imported here, so that --help does not wait for torch.
    from pipelines.age.specialist import specialist
    from shared.experiments.ablation import ablate

    ablate(specialist, CHANGES, options)


if __name__ == "__main__":
    run(main, AblateOptions(screening(DEFAULTS)))
