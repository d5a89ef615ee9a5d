"""docs/troubleshooting.md quotes messages: each of them must still be in the sources."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
HEADINGS = re.findall(r"^### `(.+)`$", PAGE, flags=re.MULTILINE)
QUOTED = [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", PAGE) if "…" in text]


def text_of(node: ast.AST) -> str | None:
    """A string of the sources, `…` where something is filled in; strings joined by + as one."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


@cache
def messages() -> str:
    sources = [ROOT / "combine.py", *(ROOT / "shared").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]
    found = [text_of(node) for path in sources for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return "\n\n".join(text for text in found if text)


@pytest.mark.parametrize("quoted", sorted({*HEADINGS, *QUOTED}))
def test_a_quoted_message_is_one_that_the_sources_give(quoted: str) -> None:
    # What stands for a name may be put together from several parts, and the doc's … may stand for one of them.
    pattern = ".{0,60}?".join(map(re.escape, quoted.split("…")))
    assert re.search(pattern, messages()), quoted


def test_no_message_is_explained_twice() -> None:
    assert len(set(HEADINGS)) == len(HEADINGS) > 40


def test_a_message_that_nothing_gives_would_be_noticed() -> None:
    assert "… holds a run with other options or data" in HEADINGS
    assert "holds a run of no kind" not in messages()
