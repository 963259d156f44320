"""Pods in the lab: started with `up`, stopped with `down`; also the pod runner's own command.

Called by `standfast-lab up` and by tests. The runner is a process of its own
(`python -m standfast.lab.pods CONFIG`); pods are processes that survive it. `pods_runner` is where
to read on.

`up` and `down` are asynchronous; what already runs is adopted.
"""

import asyncio
import logging
import os
import signal
import sys
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

import standfast
from standfast.lab import kube, pods_claims, pods_kept, program
from standfast.lab.addressing import Addressing
from standfast.lab.ca import Subject
from standfast.lab.kube import KubeInfo
from standfast.lab.paths import LabPaths
from standfast.lab.pods_kept import RunningContainer
from standfast.lab.pods_logs import LogServer
from standfast.lab.pods_network import HostNetwork, PodNetwork, SwitchNetwork
from standfast.lab.pods_pod import Node
from standfast.lab.pods_runner import Runner
from standfast.lab.ports import free_port
from standfast.lab.program import Program

NAME = "pods"
READY_S = 30
HIDDEN = ("/tmp", "/var/tmp", "/run")
NO_DNS = "# There is no DNS in the lab: names are in /etc/hosts, and others are unknown at once.\n"


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where pods are plugged in.

    Args:
        addressing: The lab's network plan.
        rules_file: Where its switch keeps its rules.
    """

    addressing: Addressing
    rules_file: str


@dataclass(frozen=True, slots=True)
class Config:
    """What a runner has to know, as its command line's file says it.

    Args:
        name: The lab's name.
        root: The lab's directory.
        server: The API server, `https://address:port`.
        bin_dir: The programs of the product's own images.
        attach: Where pods are plugged in; None for this machine's own network.
    """

    name: str
    root: str
    server: str
    bin_dir: str
    attach: Attachment | None

    @property
    def paths(self) -> LabPaths:
        return LabPaths(self.name, Path(self.root))

    @property
    def address(self) -> str:
        """The node's: that of the API server, which runs on the same machine."""
        return str(urlsplit(self.server).hostname)

    def network(self) -> PodNetwork:
        if self.attach is None:
            return HostNetwork(self.address)
        return SwitchNetwork(self.attach.addressing, Path(self.attach.rules_file))


async def up(
    paths: LabPaths, info: KubeInfo, bin_dir: Path, attach: Attachment | None = None
) -> None:
    """Starts the pod runner, or adopts it; returns when the node is ready for pods.

    Args:
        paths: The lab.
        info: Its Kubernetes, which runs.
        bin_dir: Where `standfast-operator` and `standfast-witness` are, for the images of those
            names.
        attach: The switch that gives each pod a network namespace and an address of its own; pods
            share this machine's network when it is None.
    """
    config = Config(paths.name, str(paths.root), info.server, str(bin_dir), attach)
    text = msgspec.json.encode(config).decode()
    # Named by its content: another configuration is another command line, hence another process.
    file = paths.run_dir / f"pods-{sha256(text.encode()).hexdigest()[:12]}.config"
    program.write(file, text)
    package = str(Path(standfast.__file__).parents[1])
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": package, "PYTHONUNBUFFERED": "1"}
    argv = (sys.executable, "-m", "standfast.lab.pods", str(file))
    wanted = Program(paths, NAME, argv, env)
    process = await program.start(wanted)
    await program.until(partial(_says_ready, paths, process.pid), wanted, process, READY_S)


async def down(paths: LabPaths) -> None:
    """Stops the pod runner, and ends every pod without asking it. Volumes are kept."""
    await program.stop(paths, NAME, grace_s=5)
    configs = sorted(paths.run_dir.glob("pods-*.config"), key=lambda file: file.stat().st_mtime)
    if configs:
        network = _config(configs[-1]).network()
        for pod in pods_kept.pods(paths):
            await pods_kept.remove(paths, pod, network)
    for config in configs:
        config.unlink()


def running(paths: LabPaths) -> bool:
    """Whether the pod runner runs."""
    return program.running(paths, NAME) is not None


def containers(paths: LabPaths) -> list[RunningContainer]:
    """Every container that runs, with the pid of its first process: to kill one in a test."""
    return pods_kept.containers(paths)


def main(argv: list[str]) -> None:
    """The runner's command: runs pods until it is told to stop, which leaves them running."""
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form)
    asyncio.run(_serve(_config(Path(argv[1]))))


async def _serve(config: Config) -> None:
    paths = config.paths
    ca = kube.authority(paths)
    logs_port = free_port(paths.pods_dir / "logs-port", config.address, preferred=10250)
    pair = ca.issue("node", Subject("standfast-lab-node", hosts=(config.address,)))
    logs = LogServer(paths, config.address, logs_port, ca.pair.certificate, pair)
    current = asyncio.current_task()
    assert current is not None, "a coroutine runs in a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
    await logs.start()
    try:
        async with kube.client(paths, config.server) as api:
            await pods_claims.declare_class(api)
            runner = Runner(api, _node(config), config.network(), logs_port)
            ready = paths.run_dir / "pods.ready"
            await runner.run(lambda: program.write(ready, str(os.getpid())))
    except asyncio.CancelledError:
        logging.getLogger(__name__).info("Stopped, pods go on")
    finally:
        await logs.stop()


def _node(config: Config) -> Node:
    paths, server = config.paths, urlsplit(config.server)
    assert server.port is not None, f"{config.server} has no port"
    resolver = paths.pods_dir / "resolv.conf"
    program.write(resolver, NO_DNS, 0o644)
    seen = (sys.prefix, sys.base_prefix, config.bin_dir, Path(standfast.__file__).parents[1])
    return Node(
        paths=paths,
        name=f"lab-{paths.name}",
        address=config.address,
        api_host=config.address,
        api_port=server.port,
        bin_dir=Path(config.bin_dir),
        hide=_hidden(paths.root.parent),
        expose=tuple(sorted({str(Path(path)) for path in seen})),
        hosts=paths.pods_dir / "hosts",
        resolver=resolver,
    )


def _hidden(labs: Path) -> tuple[str, ...]:
    """This machine's own, and all labs': a container must not find an administrator's rights."""
    covered = any(labs.is_relative_to(path) for path in HIDDEN)
    return HIDDEN if covered else (*HIDDEN, str(labs))


def _config(file: Path) -> Config:
    return msgspec.json.decode(file.read_bytes(), type=Config)


async def _says_ready(paths: LabPaths, pid: int) -> bool:
    file = paths.run_dir / "pods.ready"
    return file.exists() and file.read_text() == str(pid)


if __name__ == "__main__":
    main(sys.argv)
