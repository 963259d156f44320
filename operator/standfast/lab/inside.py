"""Calls a function inside another network namespace, without leaving this process.

Called for sockets: one that is made there belongs to that namespace for ever, whoever uses it.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

CLONE_NEWNET = 0x40000000
T = TypeVar("T")


def in_namespace(namespace: Path, make: Callable[[], T]) -> T:
    """What `make` returns when it is called inside a network namespace.

    Args:
        namespace: A file of /run/netns or /proc/PID/ns/net.
        make: Called once, in a thread of its own, because a thread that enters stays there.

    Raises:
        OSError: There is no such namespace, or `make` raised it.
    """
    made: list[T] = []
    problems: list[OSError] = []

    def enter_and_make() -> None:
        try:
            _enter(namespace)
            made.append(make())
        except OSError as error:
            problems.append(error)

    thread = threading.Thread(target=enter_and_make, name="in-namespace")
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return made[0]


def _enter(namespace: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))
    finally:
        os.close(descriptor)
