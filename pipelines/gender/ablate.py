"""One change of the gender specialist at a time: `python -m pipelines.gender.ablate`."""

from shared.commands import run
from shared.experiments.options import COMMON_CHANGES, AblateOptions, screening
from shared.training.options import TrainOptions

CHANGES = (
    # Little background; only brows and eyes, which no mask hides.
    "window=0.85,0.5,0.5",
    "window=0.6,0.5,0.4",
    *COMMON_CHANGES,
)


def main(options: AblateOptions) -> None:
    # Imported here, so that --help does not wait for torch.
    from pipelines.gender.specialist import GENDER
    from shared.experiments.ablation import ablate

    ablate(lambda _: GENDER, CHANGES, options)


if __name__ == "__main__":
    run(main, AblateOptions(screening(TrainOptions())))
