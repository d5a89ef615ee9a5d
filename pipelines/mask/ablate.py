"""One change of the mask specialist at a time: `python -m pipelines.mask.ablate`."""

from pipelines.mask.options import DEFAULTS
from shared.commands import run
from shared.experiments.options import USUAL, AblateOptions, screening

CHANGES = (
    # All of the crop; and the lower face alone, where a mask is and hair is not.
    "window=1,0.5,0.5",
    "window=0.6,0.5,0.68",
    *USUAL,
)


def main(options: AblateOptions) -> None:
    # Not before the command line is understood: torch takes seconds to load.
    from pipelines.mask.specialist import MASK
    from shared.experiments.ablation import ablate

    ablate(lambda _: MASK, CHANGES, options)


if __name__ == "__main__":
    run(main, AblateOptions(screening(DEFAULTS)))
