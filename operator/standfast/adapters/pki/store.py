"""An identity on disk, replaced as a whole: `ca.crt`, `tls.crt`, `tls.key` in one directory.

A renewal changes certificate and key together, and a crash between two files must not leave a node
without an identity. So the directory is written aside, flushed, and put in place by renaming; when
a crash left the renaming half done, the copy that is complete is used.
"""

import os
import shutil
from pathlib import Path

from standfast.adapters.pki.certificates import Identity, public_key, read_certificate, read_key
from standfast.errors import UserError

_FILES = ("ca.crt", "tls.crt", "tls.key")


def save_identity(directory: Path, identity: Identity) -> None:
    """Put `identity` in place of what is there; survives a power cut at any point.

    Raises:
        OSError: The disk refused; the old identity is still there.
    """
    fresh, old = _aside(directory)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    texts = (identity.ca, identity.certificate, identity.key)
    for name, text in zip(_FILES, texts, strict=True):
        descriptor = os.open(fresh / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    _flush(fresh)
    if directory.exists():
        shutil.rmtree(old, ignore_errors=True)
        directory.rename(old)
    fresh.rename(directory)
    _flush(directory.parent)
    shutil.rmtree(old, ignore_errors=True)


def load_identity(directory: Path) -> Identity | None:
    """The identity in `directory`; None when there never was one.

    Raises:
        UserError: There is one, but it is not complete or its parts do not belong together.
    """
    fresh, old = _aside(directory)
    if directory.exists():
        return _read(directory)
    for place in (fresh, old):
        if place.exists():
            try:
                return _read(place)
            except UserError:
                continue
    return None


def remove_identity(directory: Path) -> None:
    """Forget who we were. Idempotent."""
    for place in (*_aside(directory), directory):
        shutil.rmtree(place, ignore_errors=True)


def _aside(directory: Path) -> tuple[Path, Path]:
    name = directory.name
    return directory.with_name(f"{name}.new"), directory.with_name(f"{name}.old")


def _read(directory: Path) -> Identity:
    try:
        ca, certificate, key = ((directory / name).read_text() for name in _FILES)
    except OSError as error:
        raise UserError(
            f"the identity in {directory} cannot be read: {error.strerror} ({error.filename})",
            remedy=f"make it readable, or remove {directory} and enrol the node anew",
        ) from error
    if public_key(read_certificate(certificate)) != read_key(key).public_key():
        raise UserError(
            f"the key in {directory} does not belong to the certificate there",
            remedy=f"remove {directory} and enrol the node anew (kubectl standfast enroll)",
        )
    return Identity(ca, certificate, key)


def _flush(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
