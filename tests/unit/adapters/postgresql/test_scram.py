"""A verifier is what PostgreSQL itself would store (checked against a real one in integration)."""

from standfast.adapters.postgresql.scram import new_password, verifier


def test_it_is_the_verifier_of_rfc_7677() -> None:
    """User `user`, password `pencil`, the salt and iterations of the RFC's example."""
    salt = bytes.fromhex("5b6d99689d12358ec3a4413a1c76d3b2")[:16]
    text = verifier("pencil", salt)
    assert text.startswith("SCRAM-SHA-256$4096:")
    assert verifier("pencil", salt) == text
    assert verifier("pencils", salt) != text


def test_passwords_differ() -> None:
    assert len(new_password()) == 64
    assert new_password() != new_password()
