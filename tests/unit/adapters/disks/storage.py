"""A twin of storage with persistent reservations, that speaks as `sg_persist` writes it.

Its words are those that sg_persist 1.46 wrote of a disk of Linux' own target (Debian's 6.1).
"""

from dataclasses import dataclass, field

from standfast.adapters.linux.programs import Done, Programs

CONFLICT = "PR out (Reserve): Reservation conflict; sg_persist failed: Reservation conflict"
ABILITIES = """Report capabilities response:
  Replace Lost Reservation Capable(RLR_C): 0
  Compatible Reservation Handling(CRH): 1
  Specify Initiator Ports Capable(SIP_C): 1
  All Target Ports Capable(ATP_C): 1
  Persist Through Power Loss Capable(PTPL_C): {capable}
  Type Mask Valid(TMV): 1
  Allow Commands: 1
  Persist Through Power Loss Active(PTPL_A): {active}
    Support indicated in Type mask:
      Write Exclusive, all registrants: 1
      Exclusive Access, registrants only: 1
      Write Exclusive, registrants only: 1
      Exclusive Access: 1
      Write Exclusive: {exclusive}
      Exclusive Access, all registrants: 1
"""


@dataclass
class Storage:
    """One disk, and the machines that have it.

    Attributes:
        registered: Key by machine.
        holder: The machine for which it is reserved.
        mistrusted: A machine whose preemptions are refused.
        attention: Machines to which it has something to tell first.
        commands: What was asked, with the machine.
    """

    capable: int = 1
    exclusive: int = 1
    mistrusted: str = ""
    registered: dict[str, int] = field(default_factory=dict)
    holder: str | None = None
    generation: int = 0
    active: int = 0
    attention: set[str] = field(default_factory=set)
    commands: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def may_write(self, machine: str) -> bool:
        return self.holder in {None, machine}

    def power_loss(self) -> None:
        """What was not to be kept is gone."""
        if not self.active:
            self.registered.clear()
            self.holder = None

    def connects_anew(self, machine: str) -> None:
        """It has another port name from now on; the storage keeps what the old one had."""
        gone = f"{machine} at its old port"
        self.registered[gone] = self.registered.pop(machine)
        if self.holder == machine:
            self.holder = gone

    def run(self, machine: str, argv: tuple[str, ...]) -> Done:
        words = dict(zip(argv, (*argv[1:], ""), strict=True))
        self.commands.append((machine, argv))
        if machine in self.attention:
            self.attention.discard(machine)
            return Done(6, "Unit attention, Additional sense: Registrations preempted")
        if "--out" in argv:
            return self._out(machine, argv, words)
        if "--report-capabilities" in argv:
            said = ABILITIES.format(
                capable=self.capable, active=self.active, exclusive=self.exclusive
            )
            return Done(0, "", said)
        start = f"  PR generation=0x{self.generation:x}, "
        if "--read-keys" in argv:
            found = [f"    0x{key:x}" for key in self.registered.values()]
            many = "there are NO registered reservation keys"
            if found:
                many = f"{len(found)} registered reservation key{'s follow' * (len(found) > 1)}:"
            return Done(0, "", "\n".join((start + many, *found, "")))
        if self.holder is None:
            return Done(0, "", f"{start}there is NO reservation held\n")
        key = self.registered[self.holder]
        said = f"Reservation follows:\n    Key=0x{key:x}\n    scope: LU_SCOPE,  type: "
        return Done(0, "", f"{start}{said}Write Exclusive\n")

    def _out(self, machine: str, argv: tuple[str, ...], words: dict[str, str]) -> Done:
        mine = int(words.get("--param-rk", "0"), 16)
        other = int(words.get("--param-sark", "0"), 16)
        if "--register-ignore" in argv:
            self.registered[machine] = other
            self.active = int("--param-aptpl" in argv)
            self.generation += 1
            return Done(0, "")
        if self.registered.get(machine) != mine:
            return Done(24, CONFLICT)
        if "--register" in argv:
            assert other == 0
            self._throw_out(machine)
        elif "--reserve" in argv:
            if self.holder not in {None, machine}:
                return Done(24, CONFLICT)
            self.holder = machine
        else:
            assert "--preempt-abort" in argv
            if machine == self.mistrusted:
                return Done(24, CONFLICT)
            out = [one for one, key in self.registered.items() if key == other and one != machine]
            if not out:
                return Done(24, CONFLICT)
            takes = self.holder in out
            for one in out:
                self._throw_out(one)
                self.attention.add(one)
            self.holder = machine if takes else self.holder
        self.generation += 1
        return Done(0, "")

    def _throw_out(self, machine: str) -> None:
        del self.registered[machine]
        if self.holder == machine:
            self.holder = None


class StorageProgram(Programs):
    """Runs `sg_persist` on the twin, as one machine; everything else succeeds."""

    def __init__(self, storage: Storage, machine: str) -> None:
        super().__init__()
        self._storage = storage
        self._machine = machine
        self.answers: list[Done] = []

    async def run(self, *argv: str, budget_s: float | None = None) -> Done:
        assert budget_s is not None, "everything that asks a disk has a limit"
        if self.answers:
            return self.answers.pop(0)
        if argv[0] != "sg_persist":
            return Done(0, "")
        return self._storage.run(self._machine, argv)
