"""Words of a person in annotations: read back as written, or refused with the place."""

import pytest

from standfast.api.words import ATTEST, CONSENT, Attestation, Consent, word_in, written
from standfast.errors import UserError

WORD = Attestation(node="a", boot="b-1", approver="ada", at="2026-01-01T00:00:00Z")


def test_a_word_is_read_back() -> None:
    notes = {ATTEST: written(WORD)}
    assert word_in(notes, ATTEST, Attestation) == WORD
    assert word_in(notes, CONSENT, Consent) is None


@pytest.mark.parametrize("text", ["{", "{}", '{"node": 1}', WORD.model_dump_json()])
def test_what_does_not_read_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"annotation standfast.dev/consent does not read"):
        word_in({CONSENT: text}, CONSENT, Consent)


def test_the_approver_comes_first_as_the_admission_policy_demands() -> None:
    said = written(WORD.model_copy(update={"approver": 'CORP\\ad"a, Ürsula'}))
    assert said.startswith('{"approver": "CORP\\\\ad\\"a, Ürsula", ')


@pytest.mark.parametrize("name", ["approver", "\\u0061pprover"])
def test_a_second_approver_behind_the_first_is_refused(name: str) -> None:
    """The policy reads the first one; a reader of JSON would take the last."""
    text = written(WORD)[:-1] + f', "{name}": "bob"}}'
    with pytest.raises(UserError, match="approver stands in it twice"):
        word_in({ATTEST: text}, ATTEST, Attestation)
