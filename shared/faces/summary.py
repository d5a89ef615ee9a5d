"""What a run of the crop stage tells the person who started it."""

from shared.crops import DETECTED, FOUND, INDEX, PRIOR, RETRIED, UNREADABLE, CropSet
from shared.wording import LINES, counted, listed

MEANING = {
    DETECTED: "",
    RETRIED: "found by a second, closer look",
    PRIOR: "no face found: cut where faces lie in the other pictures",
    UNREADABLE: "plain grey; training leaves them out",
}


def summarise(crops: CropSet, new: int, seconds: float) -> str:
    """Counts by how faces were found, and the pictures that could not be read, by name and reason."""
    lines = [_headline(crops, new, seconds)]
    counts = crops.index["found"].value_counts()
    for found in FOUND:
        if found == DETECTED or found in counts:
            lines.append(f"  {found:<11}{counts.get(found, 0):>8,}   {MEANING[found]}".rstrip())
    several = int((crops.index["faces"] > 1).sum())
    if several:
        lines.append(f"  {several:,} with several faces: the large and central one was taken")
    return "\n".join(lines + _unreadable(crops))


def _headline(crops: CropSet, new: int, seconds: float) -> str:
    head = f"{crops.folder}: {len(crops.index):,} crops of recipe {crops.recipe}"
    if not new:
        return f"{head}, all up to date"
    return f"{head}, {new:,} of them new, in {seconds:.0f} s ({new / seconds:,.0f} pictures/s)"


def _unreadable(crops: CropSet) -> list[str]:
    problems = crops.index.loc[crops.index["found"] == UNREADABLE, "problem"]
    if problems.empty:
        return []
    named = [f"  {picture}: {problem}" for picture, problem in problems.items()]
    more = f" (column `problem` of {crops.folder / INDEX})" if len(problems) > LINES else ""
    return [f"  warning: {counted(len(problems), 'picture')} could not be read{more}:", listed(named)]
