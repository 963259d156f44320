"""The real machine behind the node: drivers over this host's kernel and systemd."""

from standfast.adapters.drivers import DriverHost, linux_host, make_driver
from standfast.agent.agent import MakeDriver
from standfast.agent.specs import config_of
from standfast.core.group_spec import Spec
from standfast.ports.clock import Clock
from standfast.ports.events import EventSink
from standfast.ports.resource import ResourceDriver


def linux_drivers(clock: Clock, sink: EventSink) -> MakeDriver:
    """How drivers are made on this machine; the first one opens what all of them share."""
    host: DriverHost | None = None

    def make(spec: Spec) -> ResourceDriver:
        nonlocal host
        if host is None:
            host = linux_host(clock, sink)
        return make_driver(config_of(spec), host)

    return make
