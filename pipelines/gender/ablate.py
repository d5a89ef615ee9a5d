"""One change of the gender specialist at a time: `python -m pipelines.gender.ablate`."""

from pipelines.gender.options import DEFAULTS
from shared.commands import run
from shared.experiments.options import USUAL, AblateOptions, screening

CHANGES = (
    # Without much of what surrounds the face; and brows and eyes alone, which no mask hides.
    "window=0.85,0.5,0.5",
    "window=0.6,0.5,0.4",
    *USUAL,
)


def main(options: AblateOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.gender.specialist import GENDER
    from shared.experiments.ablation import ablate

    ablate(lambda _: GENDER, CHANGES, options)


if __name__ == "__main__":
    run(main, AblateOptions(screening(DEFAULTS)))
