"""Everything that face18 does, behind one command.

    face18 crop --data data
    face18 train age --epochs 8
    face18 predict group.jpg

Each subcommand is one of the modules that can be started by themselves (`python -m shared.predict`), with the same
options. Only the one that is asked for is loaded, so that `face18 --help` comes at once.
"""

import difflib
import importlib.util
import runpy
import sys
from typing import NamedTuple

from shared.interrupts import end_at_once_while_loading


class Command(NamedTuple):
    """A subcommand, and the module that it starts."""

    words: str
    module: str
    does: str
    """For people; one line."""


TASKS = ("mask", "gender", "age")

COMMANDS = (
    Command("sample", "shared.sample_data", "draw sample portraits in the competition's layout"),
    Command("check", "shared.check", "check a competition folder, and show what is in it"),
    Command("crop", "shared.crop_faces", "find the face in every portrait and cut it out, aligned"),
    *(Command(f"train {task}", f"pipelines.{task}.train", f"train the {task} specialist") for task in TASKS),
    *(
        Command(
            f"answer {task}", f"pipelines.{task}.predict", f"the {task} specialist's answers for a competition folder"
        )
        for task in TASKS
    ),
    *(
        Command(f"tune {task}", f"pipelines.{task}.tune", f"look for better options of the {task} specialist")
        for task in TASKS
    ),
    *(
        Command(f"ablate {task}", f"pipelines.{task}.ablate", f"what each part of the {task} specialist is worth")
        for task in TASKS
    ),
    Command("combine", "combine", "fuse the three specialists' answers into a submission"),
    Command("predict", "shared.predict", "every face in any photograph: mask, gender, age, class"),
    Command("bundle", "shared.bundle", "pack trained specialists into one file, with a model card"),
    Command("page", "shared.page", "try it in the browser"),
    Command("serve", "shared.serve", "answer over HTTP"),
    Command("runs", "shared.runs", "what was run, and how well it did"),
    Command("report", "shared.report", "a report of trained runs"),
    Command("eda", "shared.eda", "look at the data before training"),
    Command("label-audit", "shared.label_audit", "find labels that are likely wrong"),
)
"""In the order of --help. A command whose module is not there is left out."""

EXIT_USAGE = 2


def main() -> None:
    """Start the subcommand that the command line names, or tell which there are."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return
    command = find(words)
    if command is None:
        print(f"error: {refusal(words)}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    count = len(command.words.split())
    # As the module itself would see it; its own --help then names this command.
    sys.argv = [f"face18 {command.words}", *words[count:]]
    end_at_once_while_loading()
    runpy.run_module(command.module, run_name="__main__")


def usage() -> str:
    """What --help prints."""
    known = available()
    width = max(len(command.words) for command in known)
    lines = [f"  {command.words:<{width}}  {command.does}" for command in known]
    return "\n".join(["usage: face18 COMMAND [OPTIONS]", "", *lines, "", "face18 COMMAND --help lists its options."])


def available() -> list[Command]:
    """The commands whose modules are there."""
    return [command for command in COMMANDS if _is_there(command.module)]


def find(words: list[str]) -> Command | None:
    """The command that a command line begins with, if there is one."""
    for command in available():
        parts = command.words.split()
        if words[: len(parts)] == parts:
            return command
    return None


def refusal(words: list[str]) -> str:
    """Why a command line names no command, and which it may have meant."""
    names = [command.words for command in available()]
    within = [name for name in names if name.split()[0] == words[0]]
    if within:
        return f"face18 {words[0]} needs one of: {', '.join(name.split()[1] for name in within)}"
    asked = " ".join(words[:2]) if words[1:] and not words[1].startswith("-") else words[0]
    firsts = list(dict.fromkeys(name.split()[0] for name in names))
    near = difflib.get_close_matches(asked, names, n=3, cutoff=0.5) or difflib.get_close_matches(words[0], firsts, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"face18 knows no command {words[0]!r}{hint} face18 --help lists all"


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    main()
