"""A password's verifier as PostgreSQL stores it, made here so that the password is never sent.

`ALTER ROLE ... PASSWORD` with plain text may end in the server's log; the verifier does no harm
there. Source: RFC 5803; src/common/scram-common.c.
"""

import base64
import hashlib
import hmac
import os
import secrets

ITERATIONS = 4096
_SALT_BYTES = 16


def new_password() -> str:
    """256 bits, in letters that need no quoting anywhere."""
    return secrets.token_hex(32)


def verifier(password: str, salt: bytes | None = None) -> str:
    """What to give to `PASSWORD`: `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`."""
    salt = os.urandom(_SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ITERATIONS)
    stored = hashlib.sha256(_key(salted, b"Client Key")).digest()
    server = _key(salted, b"Server Key")
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _key(salted: bytes, purpose: bytes) -> bytes:
    return hmac.digest(salted, purpose, "sha256")


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def salt_of(text: str) -> bytes:
    """The salt of a verifier; b"" when it is none of this kind."""
    head = f"SCRAM-SHA-256${ITERATIONS}:"
    if not text.startswith(head):
        return b""
    try:
        return base64.b64decode(text.removeprefix(head).partition("$")[0], validate=True)
    except ValueError:
        return b""
