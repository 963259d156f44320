"""Two agents and a witness as real processes on loopback addresses, and an operator to ask them.

The agents' resources are files (`member_process`); everything else is what users run: processes,
mutual TLS, journals, the API.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import aiohttp
import msgspec

from standfast.adapters import pki
from standfast.core.record import Config, DataMode, Member, MemberKind
from standfast.core.timing import Profile, Timing
from standfast.wire import api, durable
from standfast.wire.resources import OnFailure, ResourceSpec, Systemd, Vip

T = TypeVar("T")
PORT = 7380
NET = f"127.{20 + os.getpid() % 200}"
"""Of this run of the tests: others run on the same machine."""
ROOT = Path(__file__).parents[2]
WEB = Systemd(name="web", unit="web.service", on_failure=OnFailure(restarts=1))
VIP = Vip(name="vip", address="10.9.9.9/24", depends_on=("web",))


class ApiError(Exception):
    def __init__(self, status: int, problem: api.Problem) -> None:
        super().__init__(f"{status} {problem.problem}")
        self.status = status
        self.problem = problem


def boottime_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


@dataclass
class Party:
    """One process and how to reach it.

    Attributes:
        packages: Directories in front of the sources of this tree: another version of them.
    """

    name: str
    address: str
    directory: Path
    kind: MemberKind
    process: subprocess.Popen[bytes] | None = None
    uid: str = ""
    more_addresses: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    @property
    def python_path(self) -> str:
        return ":".join((*self.packages, f"{ROOT / 'operator'}", f"{ROOT}"))

    @property
    def listen(self) -> str:
        return f"{self.address}:{PORT}"

    @property
    def paths(self) -> tuple[str, ...]:
        """Everything it listens on."""
        return (self.listen, *(f"{address}:{PORT}" for address in self.more_addresses))

    def put_bundle(self, text: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "bundle.json").write_text(text)

    def log(self) -> str:
        """The end of what it logged, for a test that fails."""
        return (self.directory / "log").read_text()[-3000:]

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": self.python_path,
            "STANDFAST_STATE": str(self.directory / "state"),
            "STANDFAST_RUN": str(self.directory / "run"),
            "STANDFAST_BUNDLE": str(self.directory / "bundle.json"),
            "STANDFAST_REAL_TIME": "no",
            "STANDFAST_LOG": "debug",
        }
        program = ["-m", "tests.integration.member_process"]
        if self.kind is MemberKind.WITNESS:
            run = "from standfast.witness.main import main; main()"
            program = ["-c", run, "run", "--state", str(self.directory / "state")]
            program += ["--listen", self.listen, "--identity", str(self.directory / "identity")]
            program += ["--health", f"{self.address}:8080"]
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, *program],
            env=environment,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            start_new_session=True,
        )
        log.close()

    def signal(self, number: int) -> None:
        """To all processes of the party, as a machine that dies, stalls or wakes."""
        assert self.process is not None
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait(10)

    def signal_main(self, number: int) -> None:
        """To the service's main process only, as a crash or `systemctl stop`."""
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(10)

    def history(self) -> list[dict[str, object]]:
        path = self.directory / "things" / "history.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def living(self) -> list[int]:
        """Processes of the party that are not dead; a zombie waits for its parent only."""
        assert self.process is not None
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rsplit(")", 1)[1].split()
                if int(fields[2]) == self.process.pid and fields[0] != "Z":
                    found.append(int(stat.parent.name))
        return found


@dataclass
class Bed:
    """A cluster of processes."""

    directory: Path
    subnet: int
    timing: Timing = field(default_factory=lambda: Profile.NORMAL.timing)
    data: DataMode = DataMode.NONE
    cluster: str = field(default_factory=lambda: str(uuid.uuid4()))
    witness_uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    token: int = 1
    generation: int = 0
    parties: dict[str, Party] = field(default_factory=dict)
    answer_s: float = 20.0

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        self.authority = pki.Authority.create(self.cluster, now)
        self.witness_authority = pki.Authority.create(self.witness_uid, now)
        self.operator = pki.client_context(self.authority.issue(pki.Operator(self.cluster), now))
        self.witness_operator = pki.client_context(
            self.witness_authority.issue(pki.Operator(self.witness_uid), now)
        )
        made = (("a", MemberKind.DATA), ("b", MemberKind.DATA), ("w", MemberKind.WITNESS))
        self.parties = self.parties or {
            name: Party(name, f"{NET}.{self.subnet}.{11 + at}", self.directory / name, kind)
            for at, (name, kind) in enumerate(made)
        }

    # ---------------------------------------------------------------- asking

    async def ask(
        self,
        party: Party,
        method: str,
        path: str,
        kind: type[T],
        body: msgspec.Struct | None = None,
        *,
        name: str = "",
        token: int | None = None,
    ) -> T:
        server = name or pki.dns_name(pki.Member(party.uid, self.cluster))
        context = self.witness_operator if server.startswith("witness.") else self.operator
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=70)) as session,
            session.request(
                method,
                f"https://{party.listen}{path}",
                ssl=context,
                server_hostname=server,
                data=None if body is None else msgspec.json.encode(body),
                headers={api.TOKEN_HEADER: str(self.token if token is None else token)},
            ) as response,
        ):
            data = await response.read()
            if response.status != 200:
                problem = msgspec.json.decode(data, type=api.Problem)
                raise ApiError(response.status, problem)
            return msgspec.json.decode(data, type=kind)

    async def status(self, party: Party, query: str = "") -> api.MemberStatus:
        return await self.ask(party, "GET", api.STATUS_PATH + query, api.MemberStatus)

    async def until(
        self,
        party: Party,
        claim: Callable[[api.MemberStatus], bool],
        timeout_s: float = 15,
    ) -> api.MemberStatus:
        """Follow the status by long poll until the claim holds."""
        seen: api.MemberStatus | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        query = "" if seen is None else f"?after={seen.seq}&wait=1"
                        seen = await self.status(party, query)
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.05)
                        continue
                    if claim(seen):
                        return seen
        except TimeoutError as error:
            said = f"never came true on {party.name}: {seen}\n{party.log()}"
            raise AssertionError(said) from error

    # ---------------------------------------------------------------- making a cluster

    async def enrol(self, party: Party) -> None:
        now = datetime.now(UTC)
        if party.kind is MemberKind.DATA:
            bundle = pki.Bundle(
                self.cluster,
                "test/pair",
                party.name,
                party.paths,
                self.authority.issue(pki.Bootstrap(self.cluster), now),
            )
            party.put_bundle(bundle.to_json())
            name = pki.dns_name(pki.Bootstrap(self.cluster))
        else:
            identity = self.witness_authority.issue(pki.WitnessProcess(self.witness_uid), now)
            pki.save_identity(party.directory / "identity", identity)
            name = pki.dns_name(pki.WitnessProcess(self.witness_uid))
        party.start()
        answer = await self._first_answer(party, name)
        party.uid = answer.member_uid
        role = pki.Member(answer.member_uid, self.cluster)
        certificate = self.authority.sign_request(answer.csr, role, now)
        await self.ask(
            party,
            "PUT",
            api.enrol_certificate_path(self.cluster),
            api.Done,
            api.CertificateRequest(ca=self.authority.certificate, certificate=certificate),
            name=name,
        )

    async def _first_answer(self, party: Party, name: str) -> api.CsrAnswer:
        path = api.enrol_csr_path(self.cluster)
        deadline = time.monotonic() + self.answer_s
        while True:
            try:
                return await self.ask(party, "POST", path, api.CsrAnswer, name=name)
            except aiohttp.ClientError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.1)

    def config(self) -> Config:
        members = tuple(
            Member(party.uid, party.name, party.kind, party.paths)
            for party in self.parties.values()
        )
        return Config(self.cluster, members, self.timing, self.data)

    def signed(self, config: Config) -> api.ConfigRequest:
        payload = durable.encode_config(config)
        signature = self.authority.sign("config", payload)
        return api.ConfigRequest(
            config=api.SignedConfig(
                payload=base64.b64encode(payload).decode(),
                signature=base64.b64encode(signature).decode(),
            )
        )

    async def configure(self) -> None:
        request = self.signed(self.config())
        for party in self.parties.values():
            await self.ask(party, "PUT", api.CONFIG_PATH, api.Accepted, request)

    async def declare(self, *resources: ResourceSpec, **changes: object) -> None:
        self.generation += 1
        request = api.GroupRequest(generation=self.generation, resources=resources, **changes)
        for party in self.nodes:
            await self.ask(party, "PUT", api.RESOURCES_PATH, api.Done, request)

    async def converge(self, *resources: ResourceSpec) -> None:
        """From nothing to a pair that serves and would survive a failure."""
        await asyncio.gather(*(self.enrol(party) for party in self.parties.values()))
        await self.configure()
        await self.declare(*resources)
        active = await self.active()
        await self.until(self.other(active), lambda s: s.eligible and s.role == "Standby")
        await self.until(active, lambda s: all(peer.reachable for peer in s.peers))

    @property
    def nodes(self) -> list[Party]:
        return [party for party in self.parties.values() if party.kind is MemberKind.DATA]

    async def active(self, timeout_s: float = 15) -> Party:
        """The node that serves, once one does."""
        tasks = {
            asyncio.create_task(self.until(node, lambda s: s.role == "Active", timeout_s)): node
            for node in self.nodes
            if node.process is None or node.process.poll() is None
        }
        done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        first = done.pop()
        first.result()
        return tasks[first]

    def other(self, node: Party) -> Party:
        return next(party for party in self.nodes if party is not node)

    async def close(self) -> None:
        for party in self.parties.values():
            if party.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    party.signal(signal.SIGKILL)


@asynccontextmanager
async def serving_pair(
    directory: Path, subnet: int, *resources: ResourceSpec, **options: object
) -> AsyncIterator[Bed]:
    """A pair with a witness, enrolled, configured, serving the resources."""
    bed = Bed(directory, subnet, **options)
    try:
        await bed.converge(*(resources or (WEB, VIP)))
        yield bed
    finally:
        await bed.close()


GROWN = {
    "wire/api.py": ("MemberStatus", "PeerStatus", "Accepted"),
    "wire/frames.py": ("Facts",),
    "core/state.py": ("Durable",),
    "core/record.py": ("Record",),
}
"""What another version adds a field to: answers, what members tell each other, what is kept."""


def another_version(directory: Path, version: str) -> str:
    """Installed as another version, which says and keeps more than this one knows.

    Returns:
        The directory to put in front of the sources.
    """
    package = directory / version
    shutil.copytree(ROOT / "operator/standfast", package / "standfast")
    for name, classes in GROWN.items():
        module = package / "standfast" / name
        text = module.read_text()
        for each in classes:
            head = re.search(rf"^class {each}\b", text, re.MULTILINE)
            assert head is not None, f"{each} is not in {name}"
            end = text.index("\n\n\n", head.end())
            text = text[:end] + '\n    of_another_version: str = "yes"' + text[end:]
        module.write_text(text)
    info = package / f"standfast-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: standfast\nVersion: {version}\n")
    return str(package)
