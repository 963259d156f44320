"""The one D-Bus message of the guard, read by somebody else's library."""

import io

import pytest
from dbus_fast import MessageFlag, MessageType
from dbus_fast._private.unmarshaller import Unmarshaller
from dbus_fast.unpack import unpack_variants

from standfast.guard.service_manager import ServiceManager, stop_message


@pytest.mark.parametrize(
    "unit", ["a.service", "web.service", "my-long@instance.service", "ü.service"]
)
def test_the_message_asks_systemd_to_stop_the_unit(unit: str) -> None:
    message = Unmarshaller(io.BytesIO(stop_message(unit, 77))).unmarshall()
    assert message is not None
    assert message.message_type is MessageType.METHOD_CALL
    assert message.flags == MessageFlag.NO_REPLY_EXPECTED
    assert message.serial == 77
    assert message.path == "/org/freedesktop/systemd1"
    assert message.interface == "org.freedesktop.systemd1.Manager"
    assert message.destination == "org.freedesktop.systemd1"
    assert (message.member, message.signature) == ("StopUnit", "ss")
    assert unpack_variants(message.body) == [unit, "replace"]


def test_without_systemd_it_is_a_sentence() -> None:
    manager = ServiceManager("/nonexistent/socket")
    said = manager.ask_stop(["web.service"])
    assert said.startswith("systemd does not take a stop over /nonexistent/socket")
    assert manager.ask_stop([]) == ""
    manager.close()
