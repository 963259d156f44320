"""What tests of members share: a process without a machine, a pipe instead of a network."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from typing_extensions import override

from standfast.adapters import pki
from standfast.adapters.fakes import FakeClock
from standfast.core.ids import BootId, ClusterUid, RunId
from standfast.core.record import Config, DataMode, Member, MemberKind
from standfast.core.timing import Profile
from standfast.member.mailbox import Mailbox
from standfast.member.membership import Membership, Process
from standfast.member.store import Store
from standfast.wire import api, durable

CLUSTER = ClusterUid("c1")
NOW = datetime.now(UTC)


class Pipe(asyncio.Transport):
    """One end of a connection in memory; what is written waits until `deliver`."""

    def __init__(self, host: str = "10.0.0.1") -> None:
        super().__init__({"sockname": ("10.0.0.9", 7380), "peername": (host, 40000)})
        self.sent = bytearray()
        self.is_aborted = False
        self.protocol: asyncio.Protocol | None = None
        self.is_paused = False

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_aborted, "written after the end"
        self.sent += data

    @override
    def abort(self) -> None:
        if not self.is_aborted:
            self.is_aborted = True
            assert self.protocol is not None
            self.protocol.connection_lost(None)

    @override
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    @override
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    @override
    def pause_reading(self) -> None:
        self.is_paused = True

    @override
    def resume_reading(self) -> None:
        self.is_paused = False

    def connect(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol
        protocol.connection_made(self)

    def take(self) -> bytes:
        """What was written since the last time."""
        data = bytes(self.sent)
        self.sent.clear()
        return data


def process(kind: MemberKind, clock: FakeClock | None = None) -> Process:
    return Process(
        kind=kind,
        clock=clock or FakeClock(),
        mailbox=Mailbox(),
        boot=BootId("boot-1"),
        run=RunId("run-1"),
        identities=pki.ServerIdentities(),
    )


@dataclass
class Enroller:
    """Plays the operator towards one membership, without a network."""

    authority: pki.Authority = field(default_factory=lambda: pki.Authority.create(CLUSTER, NOW))

    def certify(self, membership: Membership) -> None:
        answer = membership.credentials.make_request(membership.process.boot)
        role = pki.Member(answer.member_uid, CLUSTER)
        certificate = self.authority.sign_request(answer.csr, role, datetime.now(UTC))
        membership.credentials.take_certificate(
            api.CertificateRequest(ca=self.authority.certificate, certificate=certificate)
        )

    def signed(self, config: Config) -> api.ConfigRequest:
        payload = durable.encode_config(config)
        signature = self.authority.sign("config", payload)
        return api.ConfigRequest(
            config=api.SignedConfig(
                payload=base64.b64encode(payload).decode(),
                signature=base64.b64encode(signature).decode(),
            )
        )


def config_of(*members: Member, data: DataMode = DataMode.NONE) -> Config:
    return Config(CLUSTER, members, Profile.NORMAL.timing, data)


def alone(membership: Membership, data: DataMode = DataMode.NONE) -> Config:
    """A cluster of this one member, who is its own majority."""
    assert membership.credentials.enrolment is not None
    uid = membership.credentials.enrolment.member_uid
    return config_of(Member(uid, "solo", membership.process.kind), data=data)


def membership_at(directory: Path, kind: MemberKind, clock: FakeClock | None = None) -> Membership:
    return Membership(process(kind, clock), CLUSTER, Store(directory))


async def drain(membership: Membership) -> None:
    """Perform everything that waits in the mailbox, and what comes of it, until nothing does."""
    mailbox = membership.process.mailbox
    quiet = 0
    while quiet < 5:
        if mailbox._queue.empty():
            quiet += 1
            await asyncio.sleep(0)
        else:
            quiet = 0
            (await mailbox.get())()


async def pass_time(
    membership: Membership, ms: int, until: Callable[[], bool] = lambda: False
) -> None:
    """Let time pass on a fake clock, ticking when due."""
    clock = membership.process.clock
    assert isinstance(clock, FakeClock)
    end_ms = clock.now_ms() + ms
    await drain(membership)
    while not until():
        at_ms = membership.next_ms()
        step_ms = end_ms if at_ms is None else min(max(at_ms, clock.now_ms() + 1), end_ms)
        if step_ms >= end_ms and clock.now_ms() >= end_ms:
            return
        clock.advance(step_ms - clock.now_ms())
        membership.tick()
        await drain(membership)
