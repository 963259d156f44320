"""Every reason has a row: what it means and what to do."""

import re

from standfast.core.reasons import ABOUT, Reason


def test_every_reason_is_explained() -> None:
    assert set(ABOUT) == set(Reason)


def test_a_reason_is_one_word_in_camel_case_like_its_name() -> None:
    for reason in Reason:
        assert re.fullmatch(r"[A-Z][A-Za-z]+", reason.value)
        assert reason.value == "".join(word.capitalize() for word in reason.name.split("_"))


def test_every_row_is_a_sentence_with_a_remedy() -> None:
    for reason, about in ABOUT.items():
        assert about.meaning.endswith("."), reason
        assert about.remedy, reason
