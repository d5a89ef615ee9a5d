"""All commands of face18 behind one name.

    face18 crop --data data
    face18 train age
    face18 predict group.jpg

Each subcommand starts one module, which can also be started by itself (`python -m shared.predict`) with the same
options. Only that module is loaded, so that `face18 --help` is quick.
"""

import difflib
import os
import runpy
import sys
from pathlib import Path
from typing import NamedTuple


class Command(NamedTuple):
    """A subcommand."""

    words: str
    module: str
    summary: str
    """One line for --help."""


TASKS = ("mask", "gender", "age")

COMMANDS = (
    Command("sample", "shared.sample_data", "draw sample portraits in the competition's layout"),
    Command("check", "shared.check", "check a competition folder and print what is in it"),
    Command("import", "shared.import_dataset", "lay a published data set out as a competition folder"),
    Command("crop", "shared.crop_faces", "find the face in every portrait and cut it out, aligned"),
    Command("crop-shards", "shared.crop_shards", "cut out the faces of millions of portraits on a Dask cluster"),
    Command("weights", "shared.weights", "fetch a network that was trained on faces, to start from with --backbone"),
    *(Command(f"train {task}", f"pipelines.{task}.train", f"train the {task} specialist") for task in TASKS),
    Command("train ready", "shared.ready_model", "train the ready-made model on a folder of public photographs"),
    Command("score ready", "shared.ready_bundle", "write measured scores into the ready-made model and its card"),
    *(
        Command(f"predict-eval {task}", f"pipelines.{task}.predict", f"predict {task} for the eval images")
        for task in TASKS
    ),
    *(Command(f"tune {task}", f"pipelines.{task}.tune", f"search better options for {task}") for task in TASKS),
    *(Command(f"ablate {task}", f"pipelines.{task}.ablate", f"measure single options of {task}") for task in TASKS),
    Command("combine", "combine", "fuse the three specialists' predictions into a submission"),
    Command("predict", "shared.predict", "predict mask, gender, age and class of every face in photographs"),
    Command("bundle", "shared.bundle", "pack trained specialists into one file with a model card"),
    Command("page", "shared.page", "open a page in the browser to try the model"),
    Command("serve", "shared.serve", "serve predictions over HTTP"),
    Command("runs", "shared.runs", "list what was run and how it scored"),
    Command("report", "shared.report", "write a report on trained runs"),
    Command("eda", "shared.eda", "write a report on the data before training"),
    Command("label-audit", "shared.label_audit", "find labels that are likely wrong"),
)
"""In the order of --help."""

EXIT_USAGE = 2


def main() -> None:
    """Start the subcommand that the command line names, or print help."""
    _leave_out_current_folder()
    from shared.interrupts import end_at_once_while_loading

    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if words[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"face18 {version('face18')}")
        return
    command = find(words)
    if command is None:
        print(f"error: {refusal(words)}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    count = len(command.words.split())
    sys.argv = [f"face18 {command.words}", *words[count:]]
    os.environ["FACE18_COMMAND"] = sys.argv[0]
    end_at_once_while_loading()
    # With its own entry in sys.modules, so that --help finds the descriptions of its options in its source.
    runpy.run_module(command.module, run_name="__main__", alter_sys=True)


def usage() -> str:
    """Text of --help."""
    width = max(len(command.words) for command in COMMANDS)
    lines = [f"  {command.words:<{width}}  {command.summary}" for command in COMMANDS]
    head = "usage: face18 COMMAND [OPTIONS]\n\nMask, gender and age band of faces."
    return "\n".join([head, "", *lines, "", "face18 COMMAND --help lists its options; face18 --version its version."])


def find(words: list[str]) -> Command | None:
    """The command that a command line begins with, or None."""
    for command in COMMANDS:
        parts = command.words.split()
        if words[: len(parts)] == parts:
            return command
    return None


def refusal(words: list[str]) -> str:
    """Error message for a command line without a known command, with similar ones."""
    names = [command.words for command in COMMANDS]
    within = [name for name in names if name.split()[0] == words[0]]
    if within:
        return f"face18 {words[0]} needs one of: {', '.join(name.split()[1] for name in within)}"
    firsts = list(dict.fromkeys(name.split()[0] for name in names))
    similar = difflib.get_close_matches(words[0], firsts, n=2)
    near = [name if (name := " ".join([first, *words[1:2]])) in names else first for first in similar]
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    return f"face18 has no command {words[0]!r}{hint} face18 --help lists all"


def _leave_out_current_folder() -> None:
    """Import nothing from the current folder, where a user may have a folder `shared` of his own."""
    current, here = Path.cwd(), Path(__file__).resolve().parent
    if current != here:
        sys.path[:] = [place for place in sys.path if Path(place).resolve() != current]


if __name__ == "__main__":
    main()
