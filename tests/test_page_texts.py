"""The page is complete in every language."""

import re
import string
from pathlib import Path

import pytest

from shared.labels import IN_WORDS
from shared.page.texts import ENGLISH, KOREAN, texts_for

PAGE = Path(__file__).parents[1] / "shared" / "page"
NAMES = {"CSV", "JSON"}


def fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_texts_with_the_same_fields() -> None:
    assert ENGLISH.keys() == KOREAN.keys()
    for key, text in ENGLISH.items():
        assert fields(text) == fields(KOREAN[key]), key


def test_every_korean_text_is_korean() -> None:
    assert not [key for key, text in KOREAN.items() if text not in NAMES and not re.search("[가-힣]", text)]


def test_english_words_for_classes_are_those_of_the_annotated_copies() -> None:
    assert {name: ENGLISH[name] for name in IN_WORDS} == IN_WORDS


def test_the_page_has_no_text_of_its_own() -> None:
    """Texts that components show come from `texts`."""
    source = (PAGE / "blocks.py").read_text(encoding="utf-8")
    assert not re.findall(r'label="|Button\("|Tab\("|Accordion\("|Markdown\("', source)


@pytest.mark.parametrize(
    ("header", "word"),
    [("ko-KR,ko;q=0.9,en;q=0.8", "남성"), ("ko", "남성"), ("en-US,ko;q=0.5", "male"), ("de", "male"), ("", "male")],
)
def test_the_first_language_of_the_browser_counts(header: str, word: str) -> None:
    assert texts_for(header)["male"] == word
