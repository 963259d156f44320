"""The operator's own Kubernetes client, Lease elector and Event recorder, on a real API server."""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from standfast.adapters.kube.client import ConflictError, KubeClient, NotFoundError
from standfast.adapters.kube.elector import DURATION_MS, EXIT_STATUS, VALID_MS, Elector
from standfast.adapters.kube.paths import CONFIG_MAPS, EVENTS, LEASES, Collection
from standfast.adapters.kube.recorder import BURST, Happening, Recorder, Regarding
from standfast.adapters.linux.clock import BootClock
from standfast.errors import TransientError, UserError
from tests.integration.kube_parts import KubeLab
from tests.integration.operator_bed import NAMESPACE, clear

pytestmark = pytest.mark.lab

WITNESSES = Collection("standfast.dev/v1alpha1", "Witness", "witnesses")


@pytest.fixture
async def client(kube: KubeLab) -> AsyncIterator[KubeClient]:
    client = kube.client()
    yield client
    await clear(client)
    await client.close()


async def make_witness(client: KubeClient, name: str) -> dict[str, object]:
    spec = {"agent": {"addresses": ["192.0.2.30:7380"]}}
    document = {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}
    return await client.create(WITNESSES, NAMESPACE, document)


async def test_a_status_made_from_an_older_object_is_not_written(client: KubeClient) -> None:
    """F74: a replica that woke up with an old view writes nothing."""
    made = await make_witness(client, "stale")
    old = made["metadata"]["resourceVersion"]
    after = await client.apply_status(
        WITNESSES, NAMESPACE, "stale", {"observedGeneration": 1, "type": "agent"}, old
    )
    assert after["status"]["type"] == "agent"
    with pytest.raises(ConflictError):
        await client.apply_status(
            WITNESSES, NAMESPACE, "stale", {"observedGeneration": 1, "type": "managed"}, old
        )


async def test_a_status_of_an_object_that_is_gone_does_not_bring_it_back(
    client: KubeClient,
) -> None:
    made = await make_witness(client, "gone")
    await client.delete(WITNESSES, NAMESPACE, "gone", made["metadata"]["uid"])
    with pytest.raises(ConflictError):
        await client.apply_status(
            WITNESSES,
            NAMESPACE,
            "gone",
            {"observedGeneration": 1},
            made["metadata"]["resourceVersion"],
        )
    assert await client.find(WITNESSES, NAMESPACE, "gone") is None


async def test_fields_that_a_status_no_longer_names_vanish(client: KubeClient) -> None:
    made = await make_witness(client, "fields")
    version = made["metadata"]["resourceVersion"]
    first = {"observedGeneration": 1, "version": "1.0"}
    after = await client.apply_status(WITNESSES, NAMESPACE, "fields", first, version)
    version = after["metadata"]["resourceVersion"]
    after = await client.apply_status(
        WITNESSES, NAMESPACE, "fields", {"observedGeneration": 1}, version
    )
    assert "version" not in after["status"]


async def test_the_same_status_again_changes_nothing(client: KubeClient) -> None:
    made = await make_witness(client, "same")
    status = {"observedGeneration": 1}
    one = await client.apply_status(
        WITNESSES, NAMESPACE, "same", status, made["metadata"]["resourceVersion"]
    )
    two = await client.apply_status(
        WITNESSES, NAMESPACE, "same", status, one["metadata"]["resourceVersion"]
    )
    assert one["metadata"]["resourceVersion"] == two["metadata"]["resourceVersion"]


async def test_an_object_is_deleted_only_when_it_is_the_one_that_was_meant(
    client: KubeClient,
) -> None:
    await client.create(CONFIG_MAPS, NAMESPACE, {"metadata": {"name": "twin"}})
    await client.delete(CONFIG_MAPS, NAMESPACE, "twin", "5f3c1a52-0000-4000-8000-000000000000")
    assert await client.find(CONFIG_MAPS, NAMESPACE, "twin") is not None
    with pytest.raises(ConflictError):
        await client.create(CONFIG_MAPS, NAMESPACE, {"metadata": {"name": "twin"}})
    with pytest.raises(NotFoundError):
        await client.get(CONFIG_MAPS, NAMESPACE, "nobody")


async def test_lists_come_page_by_page_and_by_label(client: KubeClient) -> None:
    for number in range(3):
        metadata = {"name": f"page-{number}", "labels": {"page": "yes"}}
        await client.create(CONFIG_MAPS, NAMESPACE, {"metadata": metadata})
    names = [
        item["metadata"]["name"]
        async for item in client.list(CONFIG_MAPS, NAMESPACE, labels="page=yes")
    ]
    assert names == ["page-0", "page-1", "page-2"]


async def test_what_the_api_server_refuses_is_said_with_its_words(client: KubeClient) -> None:
    with pytest.raises(UserError, match="exactly one kind of witness"):
        await client.create(WITNESSES, NAMESPACE, {"metadata": {"name": "neither"}, "spec": {}})


async def test_an_api_server_that_is_not_there_is_a_transient_error(kube: KubeLab) -> None:
    nowhere = KubeClient(replace(kube.endpoint, server="https://127.0.0.1:9"), BootClock())
    with pytest.raises(TransientError, match="does not answer"):
        await nowhere.get(CONFIG_MAPS, NAMESPACE, "any")
    assert not await nowhere.answers()
    await nowhere.close()


async def test_an_event_is_told_once_and_counted(client: KubeClient) -> None:
    made = await make_witness(client, "told")
    recorder = Recorder(client, BootClock(), "test")
    about = Regarding(
        WITNESSES.api_version, WITNESSES.kind, NAMESPACE, "told", made["metadata"]["uid"]
    )
    task = asyncio.create_task(recorder.run())
    before = client.writes
    for _ in range(5):
        recorder.record(Happening(about, "Answering", "the witness answers"))
    for number in range(BURST + 10):
        recorder.record(Happening(about, "Flood", f"number {number}", warning=True))
    async with asyncio.timeout(20):
        while client.writes - before < BURST or recorder.dropped < 11:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    task.cancel()
    assert client.writes - before == BURST
    events = [
        event
        async for event in client.list(EVENTS, NAMESPACE)
        if event["regarding"]["name"] == "told"
    ]
    assert len(events) == BURST
    first = next(event for event in events if event["reason"] == "Answering")
    assert first["note"] == "the witness answers"
    assert first["type"] == "Normal"


class Replica:
    """An elector whose process is this object."""

    def __init__(self, kube: KubeLab, name: str, lease: str, server: str = "") -> None:
        self.tokens: queue.Queue[int] = queue.Queue()
        self.ended = threading.Event()
        self.looked = threading.Event()
        self.status = 0
        endpoint = kube.endpoint
        self.elector = Elector(
            replace(endpoint, server=server or endpoint.server),
            BootClock(),
            namespace=NAMESPACE,
            name=lease,
            identity=name,
            on_elected=self.tokens.put,
            end=self._end,
        )

    def _end(self, status: int) -> None:
        """Where the process would end, its warden waits until the test has looked."""
        self.status = status
        self.ended.set()
        self.looked.wait()


def test_one_replica_acts_and_hands_over_at_once_when_it_leaves(kube: KubeLab) -> None:
    first, second = Replica(kube, "one", "handover"), Replica(kube, "two", "handover")
    first.elector.start()
    assert first.tokens.get(timeout=5) == 1
    assert first.elector.held()
    second.elector.start()
    time.sleep(3)
    assert not second.elector.held()
    first.elector.release()
    assert not first.elector.held()
    assert second.tokens.get(timeout=5) == 2
    second.elector.release()


def test_a_replica_that_vanished_is_waited_out_by_our_own_clock(kube: KubeLab) -> None:
    """Its renewTime lies in the future by its own wall clock, which decides nothing."""
    lease = {
        "metadata": {"name": "vanished"},
        "spec": {
            "holderIdentity": "gone",
            "leaseDurationSeconds": 3,
            "leaseTransitions": 7,
            "renewTime": "2099-01-01T00:00:00.000000Z",
        },
    }

    async def leave() -> None:
        client = kube.client()
        await client.create(LEASES, NAMESPACE, lease)
        await client.close()

    asyncio.run(leave())
    replica = Replica(kube, "next", "vanished")
    began = time.monotonic()
    replica.elector.start()
    assert replica.tokens.get(timeout=10) == 8
    assert time.monotonic() - began >= 3
    replica.elector.release()


def test_a_replica_cut_off_from_the_api_ends_before_another_may_act(kube: KubeLab) -> None:
    """The warden ends the process while the renewer still waits for an answer."""
    relay = Relay(kube.endpoint.server)
    replica = Replica(kube, "cut", "cutoff", server=relay.url)
    replica.elector.start()
    assert replica.tokens.get(timeout=5) == 1
    began = time.monotonic()
    relay.freeze()
    assert replica.ended.wait(VALID_MS / 1000 + 3)
    assert replica.status == EXIT_STATUS
    assert not replica.elector.held()
    assert time.monotonic() - began < DURATION_MS / 1000
    replica.looked.set()
    replica.elector.release()
    relay.close()


class Relay:
    """Passes TCP on, until it falls silent without closing anything."""

    def __init__(self, server: str) -> None:
        import socket

        host, _, port = server.removeprefix("https://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._frozen = threading.Event()
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        self._frozen.set()

    def close(self) -> None:
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        import socket

        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: object, sink: object) -> None:
        try:
            while data := source.recv(65_536):
                if self._frozen.is_set():
                    continue
                sink.sendall(data)
            sink.close()
        except OSError:
            return
