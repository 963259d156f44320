"""Small durable files of a member of one cluster, beside its journal.

`member.json` says who we are in which cluster; `identity/` holds the certificate, `pending.key` a
key whose certificate is not here yet; `config.json` is the signed first config as it came;
`declared.json` the group last accepted; `token.json` the operator's highest fencing token;
`votes.json` says that the journal holds votes of this uid, so that a lost one is never begun anew.
Each is replaced as a whole and flushed before anybody is answered.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from standfast.adapters.pki import Identity, load_identity, save_identity
from standfast.adapters.pki.store import remove_identity
from standfast.core.ids import ClusterUid, MemberUid
from standfast.errors import TransientError, UserError
from standfast.wire.api import ConfigRequest, GroupRequest

T = TypeVar("T")
FILES = (
    "member.json",
    "pending.key",
    "journal",
    "votes.json",
    "config.json",
    "declared.json",
    "token.json",
    "log.jsonl",
)
"""Everything that a store keeps, beside the identity."""


class Enrolment(msgspec.Struct, frozen=True, rename="camel"):
    """Who we are.

    Attributes:
        cluster: `namespace/name`, for people; "" when not known.
        name: Of the node or witness.
        listen: Addresses to listen on; empty: all of the machine.
    """

    cluster_uid: ClusterUid
    member_uid: MemberUid
    name: str = ""
    cluster: str = ""
    listen: tuple[str, ...] = ()


class _Token(msgspec.Struct, frozen=True):
    token: int = 0


class _Votes(msgspec.Struct, frozen=True):
    member_uid: MemberUid


class Store:
    """The files of one cluster in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def journal(self) -> Path:
        return self.directory / "journal"

    @property
    def log(self) -> Path:
        return self.directory / "log.jsonl"

    # ---------------------------------------------------------------- who we are

    def enrolment(self) -> Enrolment | None:
        return self._read("member.json", Enrolment)

    def save_enrolment(self, enrolment: Enrolment) -> None:
        self._write("member.json", msgspec.json.encode(enrolment))

    def identity(self) -> Identity | None:
        """The identity in force, or none before enrolment is complete."""
        return load_identity(self.directory / "identity")

    def save_identity(self, identity: Identity) -> None:
        _refused(self.directory, lambda: save_identity(self.directory / "identity", identity))
        (self.directory / "pending.key").unlink(missing_ok=True)

    def pending_key(self, make: Callable[[], str]) -> str:
        """The key whose certificate is awaited; made on first asking, the same until used."""
        path = self.directory / "pending.key"
        if not path.exists():
            self._write("pending.key", make().encode())
        return path.read_text()

    # ---------------------------------------------------------------- what we were told

    def config(self) -> ConfigRequest | None:
        return self._read("config.json", ConfigRequest)

    def save_config(self, config: ConfigRequest) -> None:
        self._write("config.json", msgspec.json.encode(config))

    def declared(self) -> GroupRequest | None:
        return self._read("declared.json", GroupRequest)

    def save_declared(self, group: GroupRequest) -> None:
        self._write("declared.json", msgspec.json.encode(group))

    def token(self) -> int:
        found = self._read("token.json", _Token)
        return 0 if found is None else found.token

    def save_token(self, token: int) -> None:
        self._write("token.json", msgspec.json.encode(_Token(token)))

    def votes_of(self) -> MemberUid | None:
        """Whose votes the journal is to hold; none before the first."""
        found = self._read("votes.json", _Votes)
        return None if found is None else found.member_uid

    def save_votes_of(self, uid: MemberUid) -> None:
        self._write("votes.json", msgspec.json.encode(_Votes(uid)))

    def forget(self) -> None:
        """Leave nothing of this cluster: the identity first, so that a torn end takes no part."""
        remove_identity(self.directory / "identity")
        for name in FILES:
            (self.directory / name).unlink(missing_ok=True)

    # ---------------------------------------------------------------- files

    def _read(self, name: str, kind: type[T]) -> T | None:
        path = self.directory / name
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(
                f"{path} cannot be read: {error.strerror}",
                remedy=f"make it readable for this process (ls -l {path})",
            ) from error
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise UserError(
                f"{path} does not read: {error}",
                remedy="install the version of standfast that wrote it, or enrol this member anew",
            ) from error

    def _write(self, name: str, data: bytes) -> None:
        _refused(self.directory, lambda: replace_file(self.directory / name, data))


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file as a whole; survives a power cut."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _refused(directory: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        raise TransientError(
            f"the state under {directory} cannot be written: {error.strerror}",
            remedy=f"check the disk (df {directory}, dmesg)",
        ) from error
