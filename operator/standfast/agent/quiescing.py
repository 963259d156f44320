"""A VM that is about to be stopped for a moment: for a snapshot, a backup of its image.

The active node asks its voters for longer promises (`TtlRequested`), so that a stun of seconds is
no end of the lease; databases write out what they have; where it is asked for, the file systems of
their data are held still. It ends when it is told to or when its time is over, whichever is first.
The price is said as well: a node that dies meanwhile is missed for as long.

Source: `docs/protocol.md`, section "Time", "Longer for a while".
"""

import asyncio

from standfast.agent.drivers import Drivers
from standfast.agent.freezing import Freezer, Frozen
from standfast.core.record import Config
from standfast.errors import TransientError, UserError
from standfast.member.chronicle import values
from standfast.member.membership import Membership
from standfast.member.voter import Voter
from standfast.wire.api import QuiesceAnswer, QuiesceRequest

FOR_MS_MAX = 600_000
FREEZE_MS_MAX = 30_000
"""A client's write waits for so long at most."""
PROMISED_S = 3.0
LOOK_S = 0.02
NOT_ACTIVE = (
    "this node does not serve, so nothing depends on its lease: while it stands still the active "
    "one goes on without it"
)
WRITE_OUT_S = 20.0
"""How long a checkpoint may take; the file systems are frozen after it."""


def survived_ms(config: Config, ttl_ms: int) -> int:
    """For how long a node may stand still under such a promise, renewed just before or not."""
    return config.hold_ms(ttl_ms) - 2 * config.heartbeat_ms


def ttl_for_ms(config: Config, stun_ms: int) -> int:
    """The shortest promise that outlasts a stun; the longest there is, where none does."""
    ttl_ms = config.ttl_ms
    while ttl_ms < config.ttl_max_ms and survived_ms(config, ttl_ms) < stun_ms:
        ttl_ms += max(1, stun_ms - survived_ms(config, ttl_ms))
    return min(ttl_ms, config.ttl_max_ms)


class Quiescing:
    """One node's.

    Args:
        membership: Whose lease it is; the file system of its state is never frozen.
        drivers: Of the resources.
    """

    def __init__(self, membership: Membership, drivers: Drivers) -> None:
        self._membership = membership
        self._clock = membership.process.clock
        self._mailbox = membership.process.mailbox
        self._sink = membership.chronicle
        self._drivers = drivers
        self._freezer = Freezer((membership.store.directory,))
        self._lock = asyncio.Lock()
        self._end: asyncio.Task[None] | None = None

    async def begin(self, request: QuiesceRequest) -> QuiesceAnswer:
        """Prepare for a stun; true on return: it may come.

        Raises:
            UserError: For longer than may be.
        """
        if not 0 < request.for_ms <= FOR_MS_MAX:
            raise UserError(
                f"quiesce was asked for {request.for_ms} ms, and it may last 1 to {FOR_MS_MAX}",
                remedy="standfast-agent quiesce --for 60s, and thaw when the snapshot is made",
            )
        async with self._lock:
            self._forget_end()
            self._end = self._mailbox.start(self._end_after(request.for_ms), "end of quiesce")
            stun_ms, notes = await self._lengthen(request.stun_ms)
            await self._drivers.prepare(WRITE_OUT_S)
            frozen = await self._freeze(request) if request.freeze else Frozen()
        fields = values(stun_ms=stun_ms, for_ms=request.for_ms, frozen=", ".join(frozen.paths))
        self._sink.note("Quiesced", "Ready for a snapshot of this VM", fields)
        return QuiesceAnswer(
            active=self._is_serving(),
            stun_ms=stun_ms,
            frozen=frozen.paths,
            notes=(*notes, *frozen.problems),
        )

    async def end(self) -> None:
        """It is over: as it was before."""
        async with self._lock:
            self._forget_end()
            await self._restore()

    async def close(self) -> None:
        """The agent ends: nothing stays frozen."""
        await self._freezer.thaw()

    async def _end_after(self, for_ms: int) -> None:
        await asyncio.sleep(for_ms / 1000)
        async with self._lock:
            self._end = None
            await self._restore()

    def _forget_end(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None

    async def _restore(self) -> None:
        await self._freezer.thaw()
        self._ask_for(0)
        self._sink.note("Thawed", "No snapshot is expected any more", {})

    async def _freeze(self, request: QuiesceRequest) -> Frozen:
        limit_s = min(request.for_ms, FREEZE_MS_MAX) / 1000
        try:
            return await self._freezer.freeze(self._drivers.directories(), limit_s)
        except TransientError as error:
            return Frozen(problems=(error.problem,))

    # ---------------------------------------------------------------- the lease

    def _is_serving(self) -> bool:
        voter = self._membership.voter
        return voter is not None and voter.state.serves(self._clock.now_ms())

    def _ask_for(self, ttl_ms: int) -> None:
        self._membership.ask_for_ttl("quiesce", ttl_ms)

    async def _lengthen(self, stun_ms: int) -> tuple[int, tuple[str, ...]]:
        """Ask for a promise that outlasts it, and wait until a majority has given it."""
        voter = self._membership.voter
        if voter is None or not self._is_serving():
            return 0, (NOT_ACTIVE,)
        config = voter.state.record.config
        ttl_ms = ttl_for_ms(config, stun_ms)
        self._ask_for(ttl_ms)
        enough_ms = survived_ms(config, ttl_ms)
        looks = int(PROMISED_S / LOOK_S)
        for _ in range(looks):
            if self._left_ms(voter) >= enough_ms:
                return enough_ms, ()
            await asyncio.sleep(LOOK_S)
        left_ms = max(self._left_ms(voter), 0)
        said = (
            f"the voters did not promise {ttl_ms} ms within {PROMISED_S:g} s: a stun "
            f"of more than {left_ms} ms is a failover"
        )
        return left_ms, (said,)

    def _left_ms(self, voter: Voter) -> int:
        lease = voter.state.holding
        return -1 if lease is None else lease.lease_until_ms - self._clock.now_ms()
