"""The connection to systemd over D-Bus: made when needed, made again after it was lost.

`units` speaks over it. Errors of the bus and of the library stop here: an answer that is an error
becomes `BusRefusalError`, a connection that does not work `TransientError`.
"""

import asyncio
import contextlib
from collections.abc import Callable

from dbus_fast import BusType, DBusFastError, Message, MessageType, unpack_variants
from dbus_fast.aio import MessageBus

from standfast.errors import TransientError

SYSTEMD = "org.freedesktop.systemd1"
MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = f"{SYSTEMD}.Manager"
_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_ANSWER_WITHIN_S = 5.0
_JOBS = f"type='signal',sender='{SYSTEMD}',interface='{MANAGER}',member='JobRemoved'"


class BusRefusalError(Exception):
    """systemd answered with an error; `name` is its D-Bus name."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def unreachable(why: str) -> TransientError:
    return TransientError(
        f"systemd does not answer over D-Bus: {why}",
        remedy="systemctl status dbus.service; systemctl is-system-running",
        retry_after_ms=500,
    )


class ManagerBus:
    """One connection, shared by all units of the process.

    Args:
        address: Address of the bus; None for the system bus of this machine.
        on_signal: Takes every signal, in order.
        on_loss: Called when the connection is gone.
    """

    def __init__(
        self,
        address: str | None,
        on_signal: Callable[[Message], None],
        on_loss: Callable[[], None],
    ) -> None:
        self._address = address
        self._on_signal = on_signal
        self._on_loss = on_loss
        self._bus: MessageBus | None = None
        self._guard: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def call(
        self, path: str, interface: str, member: str, signature: str = "", *body: object
    ) -> list[object]:
        """Ask systemd and wait for its answer.

        Raises:
            BusRefusalError: It answered with an error.
            TransientError: It could not be reached or did not answer within 5 s.
        """
        bus = await self._connected()
        question = Message(SYSTEMD, path, interface, member, signature=signature, body=list(body))
        return await _answer(bus, question)

    async def match(self, rule: str) -> None:
        """Let signals by this rule through (D-Bus match rule); lasts as long as the connection."""
        await _answer(await self._connected(), _bus_question("AddMatch", rule))

    async def close(self) -> None:
        """Drop the connection. Idempotent."""
        if self._bus is not None:
            self._bus.disconnect()
        if self._guard is not None:
            await self._guard

    async def _connected(self) -> MessageBus:
        async with self._connecting:
            if self._bus is None or not self._bus.connected:
                self._bus = await self._connect()
            return self._bus

    async def _connect(self) -> MessageBus:
        try:
            bus = MessageBus(
                bus_address=self._address, bus_type=BusType.SYSTEM, auth_timeout=_ANSWER_WITHIN_S
            )
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                await bus.connect()
        except (OSError, EOFError, DBusFastError) as error:
            raise unreachable(str(error) or type(error).__name__) from error
        bus.add_message_handler(self._heard)
        self._guard = asyncio.create_task(self._wait_for_loss(bus))
        await _answer(bus, _bus_question("AddMatch", _JOBS))
        with contextlib.suppress(BusRefusalError):  # subscribed already
            await _answer(bus, Message(SYSTEMD, MANAGER_PATH, MANAGER, "Subscribe"))
        return bus

    def _heard(self, message: Message) -> bool:
        if message.message_type is MessageType.SIGNAL:
            self._on_signal(message)
        return False

    async def _wait_for_loss(self, bus: MessageBus) -> None:
        with contextlib.suppress(OSError, EOFError, DBusFastError):
            await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast 5
        self._on_loss()


def _bus_question(member: str, argument: str) -> Message:
    return Message(_BUS, _BUS_PATH, _BUS, member, signature="s", body=[argument])


async def _answer(bus: MessageBus, question: Message) -> list[object]:
    try:
        async with asyncio.timeout(_ANSWER_WITHIN_S):
            answer: Message | None = await bus.call(question)
    except TimeoutError as error:
        raise unreachable(f"no answer to {question.member} within 5 s") from error
    except (OSError, EOFError, DBusFastError) as error:
        raise unreachable(str(error) or type(error).__name__) from error
    if answer is None:
        raise unreachable("the connection was closed")
    if answer.message_type is MessageType.ERROR:
        raise BusRefusalError(answer.error_name or "", str(answer.body[0]) if answer.body else "")
    body: list[object] = unpack_variants(answer.body)
    return body
