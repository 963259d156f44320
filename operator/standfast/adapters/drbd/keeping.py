"""The copy on this node: its file, its note, and the steps that `plan` decides on.

Used by the driver from its calls and its passes, never from both at once. Nothing here makes a
device primary or takes it away.
"""

import asyncio
import secrets
from datetime import UTC, datetime
from pathlib import Path

from standfast.adapters.drbd import plan, reading
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.generations import Generations, Kinship
from standfast.adapters.drbd.invitation import Invitation, Note, Notebook, write_durably
from standfast.adapters.drbd.plan import Copy, Do, Next
from standfast.adapters.drbd.reading import Seen
from standfast.adapters.drbd.text import ends_of, secret_in, written
from standfast.adapters.drbd.tools import Drbd, disk_problem
from standfast.errors import RefusedError, TransientError, UserError
from standfast.ports.clock import Clock
from standfast.ports.events import EventSink
from standfast.ports.replication import Neighbour, Place

CONNECT_AGAIN_MS = 5000


class Keeping:
    """One copy.

    Args:
        config: Which.
        clock: This node's.
        sink: Where its doings are told.
    """

    def __init__(self, config: DrbdConfig, clock: Clock, sink: EventSink) -> None:
        self._config = config
        self._sink = sink
        self._clock = clock
        self.drbd = Drbd(config)
        self.notes = Notebook(config.state / f"{config.name}.json")
        self._connected_ms: int | None = None
        self._was_verifying = False

    def note(self, kind: str, message: str, **fields: str | int) -> None:
        self._sink.note(kind, message, {"resource": self._config.name, **fields})

    def tune(self, config: DrbdConfig) -> None:
        """Go by these knobs from the next pass on."""
        self._config = config

    # ---------------------------------------------------------------- what there is

    def other(self, place: Place | None) -> Neighbour:
        """The other node.

        Raises:
            UserError: There is not exactly one.
        """
        if place is None:
            raise UserError(f"{self._config.name}: the cluster's nodes are not known yet")
        if len(place.others) != 1:
            raise UserError(
                f"{self._config.name}: DRBD 8.4 keeps two copies, and the cluster has "
                f"{len(place.others) + 1} nodes",
                remedy="use it in a cluster of two nodes and a witness",
            )
        return place.others[0]

    async def write_file(self, place: Place | None, secret: str = "") -> bool:
        """Our file says what is declared; whether it was changed.

        Args:
            place: Where the nodes are.
            secret: The one to use; the known one, else a new one, when empty.
        """
        other = self.other(place)
        assert place is not None, "it has another node"
        note = self.notes.read()
        secret = secret or note.secret or self._secret_on_disk() or secrets.token_hex(16)
        ends = ends_of(self._config, place.me.hosts, other.hosts)
        text = written(self._config, ends, secret).encode()
        if note.secret != secret:
            await asyncio.to_thread(self.notes.write, _replaced(note, secret=secret))
        if _bytes(self._config.file) == text:
            return False
        await asyncio.to_thread(write_durably, self._config.file, text)
        self.note("DrbdConfigured", "DRBD's file was written", path=str(self._config.file))
        return True

    def _secret_on_disk(self) -> str:
        return secret_in(_bytes(self._config.file).decode(errors="replace"))

    @property
    def is_configured(self) -> bool:
        return self._config.file.exists()

    async def copy(self, seen: Seen) -> Copy:
        """What is known of this copy.

        Raises:
            UserError: Its disk is not there.
        """
        problem = disk_problem(self._config)
        if problem:
            raise UserError(
                f"{self._config.name}: {problem}",
                remedy="lsblk -o NAME,SIZE,FSTYPE; "
                f"correct spec.drbd.disk of HAResource {self._config.name}",
            )
        mine = await self.drbd.generations() if self.is_configured else None
        is_blank = mine is None and await self.drbd.is_blank()
        return Copy(seen, mine, is_blank)

    def belongs(self, place: Place) -> bool:
        """Whether this copy is known to be one of the cluster's."""
        return self.notes.read().cluster == place.cluster

    async def adopt(self, place: Place) -> None:
        """From here on this copy is one of the cluster's."""
        await asyncio.to_thread(
            self.notes.write, _replaced(self.notes.read(), cluster=place.cluster)
        )

    # ---------------------------------------------------------------- steps

    async def attach(self, seen: Seen) -> None:
        """Give DRBD its disk again, from whatever state it was left in."""
        if seen.connection != reading.UNCONFIGURED:
            await self.drbd.order("down")
        await self.drbd.attach(Seen())

    async def follow(self, place: Place, told: Invitation | None, *, counts_on_me: bool) -> Next:
        """One step towards the active node's data.

        Returns:
            The step that was taken, or why none was.
        """
        if told is not None and await self.write_file(place, told.secret):
            await self._adjust_nothing()
        seen = await self.drbd.seen()
        if seen.is_in_touch:
            return Next(Do.NOTHING)  # nothing to judge, and no program to run
        copy = await self.copy(seen)
        step = plan.next_of_standby(
            copy, None if told is None else told.theirs, counts_on_me=counts_on_me
        )
        if step.do is Do.PARTED and (await self.drbd.seen()).is_in_touch:
            return Next(Do.NOTHING)  # they met meanwhile, and the generations read are a resync's
        match step.do:
            case Do.CREATE:
                self.note("DrbdCreated", "DRBD takes a blank disk", path=str(self._config.disk))
                await self.drbd.create()
            case Do.ATTACH:
                await self.attach(seen)
            case Do.CONNECT:
                await self.connect()
            case Do.REFUSE:
                raise self.refusal(step.why)
            case Do.NOTHING | Do.WAIT | Do.PARTED:
                pass
        return step

    async def _adjust_nothing(self) -> None:
        """What changed in the file is taken with the next connection."""
        seen = await self.drbd.seen()
        if seen.connection not in {reading.UNCONFIGURED, reading.STAND_ALONE}:
            await self.drbd.order("adjust")

    async def connect(self) -> None:
        """Let the copies meet, not more often than DRBD's own attempts make sense."""
        now_ms = self._clock.now_ms()
        if self._connected_ms is None or now_ms - self._connected_ms >= CONNECT_AGAIN_MS:
            self._connected_ms = now_ms
            await self.drbd.order("connect")

    def refusal(self, why: str) -> UserError:
        """What is on the disk is somebody's data."""
        disk, resource = self._config.disk, self._config.resource
        return UserError(
            f"{self._config.name}: {disk} is not taken: {why}",
            remedy=f"look what it is (blkid -p {disk}). If nobody needs it: wipefs -a {disk}. To "
            f"keep a file system: shrink it first, then drbdadm create-md {resource}",
        )

    # ---------------------------------------------------------------- while active

    async def keep_up(self, place: Place, seen: Seen) -> None:
        """Look after the connection and what is declared of a resync."""
        if await self.write_file(place):
            await self.drbd.order("adjust")
        if seen.connection == reading.STAND_ALONE:
            await self.connect()
        if seen.connection == "SyncSource" and self._config.is_paused:
            await self.drbd.order("pause-sync")
        if seen.connection == "PausedSyncS" and not self._config.is_paused:
            await self.drbd.order("resume-sync")

    async def verify(self, seen: Seen, *, now: bool = False) -> Note:
        """Begin a comparison that is due, and note the end of one; answers the note."""
        note = self.notes.read()
        if seen.connection in reading.VERIFYING:
            self._was_verifying = True
            return note
        if self._was_verifying and seen.connection == reading.CONNECTED:
            self._was_verifying = False
            at = datetime.now(UTC).isoformat(timespec="seconds")
            note = _replaced(note, verified_at=at, differing_bytes=seen.out_of_sync_bytes)
            await asyncio.to_thread(self.notes.write, note)
            self.note("DrbdVerified", "The copies were compared", bytes=note.differing_bytes)
        elif seen.is_in_step and (now or _is_due(note, self._config.verify_every_s)):
            self._was_verifying = True
            await self.drbd.order("verify")
        return note

    async def invitation(self) -> bytes:
        """What the other node needs to follow."""
        mine = await self.drbd.generations()
        if mine is None:
            return b""
        told = (mine.current, mine.bitmap, *mine.history)
        secret = self.notes.read().secret
        return Invitation(secret=secret, generations=told, port=self._config.port).encode()

    # ---------------------------------------------------------------- a person's word

    async def discard(self, place: Place, told: Invitation | None, generation: str) -> str:
        """Give up what only this copy has, because a person says so; it is named first.

        Args:
            place: Where the nodes are.
            told: What the active node told.
            generation: The current generation of this copy, as the person read it.

        Returns:
            What was done, as a sentence.

        Raises:
            RefusedError: It is not that copy, or nothing has to be given up.
        """
        seen = await self.drbd.seen()
        copy = await self.copy(seen)
        mine = copy.mine
        theirs = None if told is None else told.theirs
        step = plan.next_of_standby(copy, theirs, counts_on_me=False)
        if mine is None or seen.is_primary or step.do is not Do.PARTED:
            raise RefusedError(
                f"{self._config.name}: this copy has nothing to give up: "
                f"{step.why or 'it follows'}"
            )
        if generation.upper() != f"{mine.current:016X}":
            raise RefusedError(
                f"{self._config.name}: this copy's generation is {mine.current:016X}, and "
                f"{generation} was given up",
                remedy="say it again with that generation, if it is this copy that you mean",
            )
        kept = await self._dump(mine)
        is_split = step.why == plan.PARTED[Kinship.SPLIT]
        if not is_split:
            await self.drbd.create()
        await self.drbd.attach(Seen())
        options = ("--discard-my-data",) if is_split else ()
        await self.drbd.order("connect", *options)
        said = (
            f"given up: {seen.out_of_sync_bytes} bytes that only {place.me.name} had, since "
            f"generation {mine.current:016X}; {kept} names the blocks"
        )
        self.note("DataGivenUp", "A person gave up the data of a copy", error=said)
        return said

    async def _dump(self, mine: Generations) -> Path:
        """DRBD's own data of this copy, with the bitmap that names every block that differs."""
        path = self._config.state / f"{self._config.name}-given-up-{mine.current:016X}.md"
        await self.drbd.order("down")
        await self.drbd.dump(path)
        return path


def _replaced(
    note: Note,
    *,
    cluster: str | None = None,
    secret: str | None = None,
    verified_at: str | None = None,
    differing_bytes: int | None = None,
) -> Note:
    return Note(
        cluster=note.cluster if cluster is None else cluster,
        secret=note.secret if secret is None else secret,
        verified_at=note.verified_at if verified_at is None else verified_at,
        differing_bytes=note.differing_bytes if differing_bytes is None else differing_bytes,
    )


def _is_due(note: Note, every_s: int | None) -> bool:
    if every_s is None:
        return False
    if not note.verified_at:
        return True
    try:
        last = datetime.fromisoformat(note.verified_at)
    except ValueError:
        return True
    return (datetime.now(UTC) - last).total_seconds() >= every_s


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise TransientError(f"{path} cannot be read: {error}") from error
