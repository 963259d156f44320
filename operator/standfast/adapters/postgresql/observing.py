"""What is on a node that is to follow, put together for `plan`: files, server, stream."""

import asyncio
from dataclasses import replace

import msgspec

from standfast.adapters.postgresql.building import Builder
from standfast.adapters.postgresql.control import Control
from standfast.adapters.postgresql.kit import Kit
from standfast.adapters.postgresql.plan import Copy, Running
from standfast.adapters.postgresql.server import replaying
from standfast.adapters.postgresql.target import Target

_LOOK = """
SELECT json_build_object(
  'received', (coalesce(pg_last_wal_receive_lsn(), '0/0') - '0/0'::pg_lsn)::bigint,
  'replayed', (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0'::pg_lsn)::bigint,
  'ageMs', (1000 * extract(epoch FROM now() - pg_last_xact_replay_timestamp()))::bigint,
  'conninfo', current_setting('primary_conninfo'),
  'slot', current_setting('primary_slot_name'),
  'ssl', current_setting('ssl')::bool,
  'status', coalesce((SELECT status FROM pg_stat_wal_receiver), ''),
  'latest', (SELECT (latest_end_lsn - '0/0'::pg_lsn)::bigint FROM pg_stat_wal_receiver),
  'timeline', coalesce((SELECT received_tli FROM pg_stat_wal_receiver), 0),
  'slots', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots
            WHERE NOT active AND slot_name LIKE 'standfast!_%' ESCAPE '!'))"""


class Look(msgspec.Struct, frozen=True, rename="camel"):
    """A standby that answers.

    Attributes:
        slots: Of ours that nobody uses: from the time when it was active.
    """

    received: int
    replayed: int
    age_ms: int | None
    conninfo: str
    slot: str
    ssl: bool
    status: str
    latest: int | None
    timeline: int
    slots: tuple[str, ...]

    @property
    def reach(self) -> int:
        return max(self.received, self.replayed)

    @property
    def is_streaming(self) -> bool:
        return self.status == "streaming"


class Observer:
    """Looks, and remembers since when nothing moved."""

    def __init__(self, kit: Kit, builder: Builder) -> None:
        self._kit = kit
        self._instance = kit.instance
        self._builder = builder
        self._moved: tuple[object, int] = (None, kit.clock.now_ms())

    async def see(self, target: Target | None, *, is_loaded: bool) -> tuple[Copy, Look | None]:
        """One look.

        Args:
            target: Whom to follow.
            is_loaded: The server that runs has read what the files say.

        Raises:
            StandfastError: Something did not answer.
        """
        instance = self._instance
        running = await instance.running()
        control = await instance.control()
        look = None
        if running is Running.STANDBY:
            look = await instance.session().one(_LOOK, Look)
        copy = Copy(
            running=running,
            version=instance.places.version,
            control=control,
            history=None,
            building=self._kit.notes.read().building,
            is_made=(instance.places.data / "backup_label").exists(),
        )
        if control is None:
            return copy, look
        copy = await self._with_history(copy, control, look)
        if target is not None:
            copy = replace(
                copy,
                is_fresh=control.system != target.invitation.system and self._builder.is_fresh(),
                is_configured=is_loaded and self._goes_by(target, look),
            )
        return copy, look

    async def _with_history(self, copy: Copy, control: Control, look: Look | None) -> Copy:
        replayed = ""
        if copy.running is not Running.NO and (look is None or not look.timeline):
            replayed = await asyncio.to_thread(replaying, self._instance.places.data)
        timeline = max(
            control.timeline,
            look.timeline if look is not None else 0,
            int(replayed[:8], 16) if replayed else 0,
        )
        position = control.reach if look is None else look.reach
        return replace(
            copy,
            history=self._instance.history(timeline),
            position=position,
            is_starting=copy.running is Running.UNKNOWN and self._can_only_follow(copy, control),
            is_streaming=look is not None and look.is_streaming,
            stalled_ms=self._stalled_ms((copy.running, position, replayed)),
        )

    def _can_only_follow(self, copy: Copy, control: Control) -> bool:
        """A server that does not answer yet, and was started as a standby."""
        is_standby = control.was_standby or copy.is_made
        server = self._instance.postmaster()
        return server is not None and self._instance.places.signal.exists() and is_standby

    def _goes_by(self, target: Target, look: Look | None) -> bool:
        """Whether files, and as far as it answers the server, say what is wanted."""
        if not target.is_written(self._kit):
            return False
        if look is None:
            return True
        return look.ssl and (look.conninfo, look.slot) == (target.conninfo, target.slot)

    def _stalled_ms(self, seen: object) -> int:
        """For how long nothing has moved."""
        now_ms = self._kit.clock.now_ms()
        if seen != self._moved[0]:
            self._moved = (seen, now_ms)
        return now_ms - self._moved[1]
