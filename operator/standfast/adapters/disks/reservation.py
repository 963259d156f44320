"""A disk that its storage keeps for one node: SCSI-3 persistent reservations, by `sg_persist`.

The type is Write Exclusive: who holds the reservation writes, whoever else is registered does not.
So a command that a node gave late, a registration above all, never lets it write again; with the
types for all registrants it would. Everybody may read.

To take the disk: register, reserve or preempt-and-abort (which takes the place of the old holder,
throws him out and ends what he has under way), throw out whoever else is registered, read all of
it back, and reserve once more: the storage grants that to the holder itself and to nobody else,
also when another machine uses the same key.

Source: SPC-4, 5.13 (reservations), 6.15 and 6.16; sg_persist(8), sg3_utils(8) for exit statuses.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from standfast.adapters.disks import keys
from standfast.adapters.disks.keys import Key
from standfast.adapters.linux.programs import Done, Programs
from standfast.errors import TransientError, UserError

COMMAND_S = 3.0
"""The storage answers in milliseconds; while it aborts what somebody has under way it may take
longer."""
WRITE_EXCLUSIVE = "1"
_ROUNDS = 8
_UNIT_ATTENTIONS = 4
"""What the storage has to tell comes one at a time, each in place of an answer."""
_ILLEGAL, _ATTENTION, _NO_SUCH_COMMAND, _CONFLICT = 5, 6, 9, 24
_KEY = re.compile(r"^\s+0x([0-9a-f]+)\s*$", re.MULTILINE)
_GENERATION = re.compile(r"PR generation=0x([0-9a-f]+)")
_HOLDER = re.compile(r"Key=0x([0-9a-f]+)\s+scope: \w+,\s+type: (.+?)\s*$", re.MULTILINE)
_EXCLUSIVE_WORDS = "Write Exclusive"


@dataclass(frozen=True, slots=True)
class Held:
    """What the storage says of one disk.

    Attributes:
        keys: Of all who are registered, each as often as it is there.
        holder: Under whose key it is reserved; none when it is not.
        type: Of the reservation, in words.
    """

    keys: tuple[int, ...]
    holder: int | None
    type: str = ""

    def is_only(self, key: int) -> bool:
        """Whether one node alone is registered, and has it for itself."""
        return (self.keys, self.holder, self.type) == ((key,), key, _EXCLUSIVE_WORDS)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the storage can do for one disk.

    Attributes:
        persists: It keeps a reservation when it loses power, if told so.
        is_persistent: It was told so, and does.
    """

    persists: bool
    is_persistent: bool


class OutrankedError(TransientError):
    """Somebody holds the disk by a newer right: whatever this node believes, its own is over."""


class Reservation:
    """The reservation of one resource's disk. Its calls must not overlap.

    Args:
        name: Of the resource, for sentences.
        programs: Runs `sg_persist`, and nothing of anybody else's.
    """

    def __init__(self, name: str, programs: Programs) -> None:
        self._name = name
        self._programs = programs

    async def look(self, disk: Path) -> Held:
        """Who is registered and who has it."""
        for _ in range(_ROUNDS):
            listed = await self._in(disk, "--read-keys")
            reserved = await self._in(disk, "--read-reservation")
            if _GENERATION.findall(listed) == _GENERATION.findall(reserved):
                return held_of(listed, reserved)
        raise TransientError(f"{self._name}: the registrations of {disk} change all the time")

    async def abilities(self, disk: Path) -> Abilities:
        """What it can do; raises UserError when it has no exclusive reservations."""
        said = await self._in(disk, "--report-capabilities")
        if _flag(said, "Type Mask Valid(TMV)") and not _flag(said, "Write Exclusive"):
            raise self._unable(disk, "it has no reservations of the type Write Exclusive")
        return Abilities(
            persists=_flag(said, "Persist Through Power Loss Capable(PTPL_C)"),
            is_persistent=_flag(said, "Persist Through Power Loss Active(PTPL_A)"),
        )

    async def take(self, disk: Path, key: Key) -> bool:
        """Have it alone; whether that outlives a power loss of the storage.

        Raises:
            UserError: It cannot be reserved, or belongs to somebody else.
            OutrankedError: A later holder has it.
            TransientError: Worth another try.
        """
        mine = key.value
        persists = (await self.abilities(disk)).persists
        holders: set[int | None] = set()
        for _ in range(_ROUNDS):
            held = await self.look(disk)
            self._refuse(disk, held, key)
            if mine not in held.keys or (persists and not held.is_only(mine)):
                await self._register(disk, mine, persists=persists)
                held = await self.look(disk)
                self._refuse(disk, held, key)
            if not await self._throw_out(disk, mine, held):
                holders.add(held.holder)
                continue  # somebody was quicker; look again
            held = await self.look(disk)
            self._refuse(disk, held, key)
            if held.is_only(mine) and await self._reserve(disk, mine):
                return (await self.abilities(disk)).is_persistent
            if held.is_only(mine):
                raise self._cloned(disk, mine)
        if len(holders) == 1:
            raise TransientError(
                f"{self._name}: {disk} could not be reserved: nobody else changes it, and its "
                "storage refuses this node all the same, as Linux' own target does when this node "
                "holds it under another name since before it connected anew",
                remedy="let the other node take it (kubectl standfast switchover); give the "
                "initiator a name that stays",
            )
        raise TransientError(
            f"{self._name}: {disk} could not be reserved, because others go on to do so",
            remedy=f"sg_persist --no-inquiry --read-full-status {disk}",
        )

    async def is_held(self, disk: Path, key: Key) -> Held:
        """A look that raises OutrankedError when a later holder has it."""
        held = await self.look(disk)
        self._refuse_outranked(disk, held, key)
        return held

    async def is_granted(self, disk: Path, key: Key) -> bool:
        """Whether this machine is the holder, and not only the key that of the holder.

        An initiator that connects anew under another name is nobody, though nothing else changed.
        The holder may reserve once more, which changes nothing; everybody else is refused.
        """
        return await self._reserve(disk, key.value)

    async def give_back(self, disk: Path, key: Key) -> None:
        """Let go of it: with the registration of its holder a reservation ends."""
        held = await self.look(disk)
        if key.value in held.keys:
            await self._out(disk, "--register", "--param-rk", _hex(key.value), "--param-sark", "0")
            held = await self.look(disk)
        if key.value in held.keys or held.holder == key.value:
            raise TransientError(f"{self._name}: {disk} is still reserved under {key.text}")

    # ---------------------------------------------------------------- the steps of taking it

    async def _register(self, disk: Path, mine: int, *, persists: bool) -> None:
        """In place of whatever key this machine is registered with."""
        how = ("--param-aptpl",) if persists else ()
        await self._out(disk, "--register-ignore", "--param-sark", _hex(mine), *how)

    async def _throw_out(self, disk: Path, mine: int, held: Held) -> bool:
        """The holder first: from then on nobody but this node can write."""
        if held.holder is None:
            if not await self._reserve(disk, mine):
                return False
        elif held.holder != mine and not await self._preempt(disk, mine, held.holder):
            return False
        others = sorted(set(held.keys) - {mine, held.holder})
        return all([await self._preempt(disk, mine, other) for other in others])

    async def _reserve(self, disk: Path, mine: int) -> bool:
        words = ("--reserve", "--param-rk", _hex(mine), "--prout-type", WRITE_EXCLUSIVE)
        return await self._out(disk, *words)

    async def _preempt(self, disk: Path, mine: int, other: int) -> bool:
        words = ("--preempt-abort", "--param-rk", _hex(mine), "--param-sark", _hex(other))
        return await self._out(disk, *words, "--prout-type", WRITE_EXCLUSIVE)

    # ---------------------------------------------------------------- what is refused

    def _refuse(self, disk: Path, held: Held, key: Key) -> None:
        self._refuse_outranked(disk, held, key)
        for value in dict.fromkeys(
            held.keys if held.holder is None else (*held.keys, held.holder)
        ):
            other = keys.parse(value)
            if value == key.value:
                if held.keys.count(value) > 1:
                    raise self._cloned(disk, value)
            elif other is None:
                raise self._foreign(disk, value, "something that is not Standfast")
            elif other.cluster != key.cluster:
                raise self._foreign(disk, value, "another HACluster")

    def _refuse_outranked(self, disk: Path, held: Held, key: Key) -> None:
        for value in held.keys:
            other = keys.parse(value)
            if other is None or other.cluster != key.cluster or value == key.value:
                continue
            if other.rank >= key.rank:
                raise OutrankedError(
                    f"{self._name}: {disk} was taken in term {other.term} by another node, and "
                    f"this one would hold it by term {key.term}"
                )

    def _foreign(self, disk: Path, value: int, whose: str) -> UserError:
        tool = "sg_persist --no-inquiry --out"
        return UserError(
            f"{self._name}: {disk} is used by {whose}, which is registered with the key "
            f"{keys.text(value)}",
            remedy=f"see that nobody uses the disk; then clear it: {tool} --register-ignore "
            f"--param-sark 1 {disk}; {tool} --clear --param-rk 1 {disk}",
        )

    def _cloned(self, disk: Path, value: int) -> UserError:
        return UserError(
            f"{self._name}: another machine is registered with {disk} under the key of this node "
            f"({keys.text(value)}): one of the two is a clone, or the storage knows this one "
            "under another name since it connected anew",
            remedy="power the clone off, and enrol it as a node of its own; if there is none, "
            "restart standfast-agent: it takes the disk by a new term",
        )

    def _unable(self, disk: Path, why: str) -> UserError:
        return UserError(
            f"{self._name}: {disk} cannot be reserved: {why}",
            remedy="attach it to both VMs as a clustered disk (SCSI controller with bus sharing "
            "Physical), or use spec.sharedDisk.mode: Moving (docs/shared-disks.md)",
        )

    # ---------------------------------------------------------------- sg_persist

    async def _in(self, disk: Path, *words: str) -> str:
        done = await self._run(disk, *words)
        if done.status in {_ILLEGAL, _NO_SUCH_COMMAND}:
            raise self._unable(disk, "its storage knows no SCSI-3 persistent reservations")
        if done.status != 0:
            raise self._failed(disk, words, done)
        return done.out

    async def _out(self, disk: Path, *words: str) -> bool:
        """False: the storage refuses, because who is registered or holds it is not as named."""
        done = await self._run(disk, "--out", *words)
        if done.status in {_ILLEGAL, _NO_SUCH_COMMAND}:
            raise self._unable(disk, f"its storage refuses {words[0]}")
        if done.status not in {0, _CONFLICT}:
            raise self._failed(disk, words, done)
        return done.status == 0

    async def _run(self, disk: Path, *words: str) -> Done:
        if self._programs.running and not await self._programs.end():
            raise TransientError(
                f"{self._name}: {disk} does not answer: an earlier question to it hangs",
                remedy="dmesg | tail; is the storage there?",
            )
        argv = ("sg_persist", "--no-inquiry", "--readonly", *words, str(disk))
        done = await self._programs.run(*argv, budget_s=COMMAND_S)
        for _ in range(_UNIT_ATTENTIONS):
            if done.status != _ATTENTION:
                break
            done = await self._programs.run(*argv, budget_s=COMMAND_S)
        return done

    def _failed(self, disk: Path, words: tuple[str, ...], done: Done) -> TransientError:
        return TransientError(
            f"{self._name}: sg_persist {words[0]} {disk} ended with status {done.status}: "
            f"{done.said}",
            remedy="dmesg | tail; sg3_utils(8) has the meaning of the status",
        )


def held_of(listed: str, reserved: str) -> Held:
    """What `--read-keys` and `--read-reservation` wrote."""
    found = _HOLDER.search(reserved)
    registered = tuple(int(digits, 16) for digits in _KEY.findall(listed))
    if found is None:
        return Held(registered, None)
    return Held(registered, int(found[1], 16), found[2])


def _flag(said: str, name: str) -> bool:
    return re.search(rf"^\s*{re.escape(name)}: 1\s*$", said, re.MULTILINE) is not None


def _hex(value: int) -> str:
    return f"{value:x}"
