"""Words of a person in annotations: read back as written, or refused with the place."""

import pytest

from standfast.api.words import ATTEST, CONSENT, Attestation, Consent, word_in
from standfast.errors import UserError

WORD = Attestation(node="a", boot="b-1", approver="ada", at="2026-01-01T00:00:00Z")


def test_a_word_is_read_back() -> None:
    notes = {ATTEST: WORD.model_dump_json()}
    assert word_in(notes, ATTEST, Attestation) == WORD
    assert word_in(notes, CONSENT, Consent) is None


@pytest.mark.parametrize("text", ["{", "{}", '{"node": 1}', WORD.model_dump_json()])
def test_what_does_not_read_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"annotation standfast.dev/consent does not read"):
        word_in({CONSENT: text}, CONSENT, Consent)
