"""One change of the age specialist at a time: `python -m pipelines.age.ablate`."""

from pipelines.age.options import DEFAULTS
from shared.commands import run
from shared.experiments.options import USUAL, AblateOptions, screening

CHANGES = (
    # What is learnt: the age itself, the bands, an order of years.
    "loss=l1",
    "loss=bands",
    "loss=corn",
    # All of the crop; the face without the hairline; brows and eyes alone, which no mask hides.
    "window=1,0.5,0.5",
    "window=0.75,0.5,0.55",
    "window=0.6,0.5,0.4",
    # The rate of the others, and more; one of the usual changes is how age is trained anyway.
    "lr=0.001",
    "lr=0.004",
    *(change for change in USUAL if change != "lr=0.002"),
)


def main(options: AblateOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.age.heads import specialist
    from shared.experiments.ablation import ablate

    ablate(specialist, CHANGES, options)


if __name__ == "__main__":
    run(main, AblateOptions(screening(DEFAULTS)))
