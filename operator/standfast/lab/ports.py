"""Ports of the lab's servers: free when chosen, remembered afterwards.

Clients keep addresses (kubeconfigs, secrets, state files), so a server that is started again must
come back where it was.
"""

import contextlib
import socket
from pathlib import Path

from standfast.errors import UserError
from standfast.lab.program import write


def free_port(file: Path, address: str, preferred: int) -> int:
    """The port in a file; chosen and written when there is none yet.

    Args:
        file: Where it is remembered.
        address: Where the server will listen; this machine must have it.
        preferred: Taken when it is free, because a person may have to type it.

    Raises:
        UserError: The address is not this machine's.
    """
    if file.exists():
        return int(file.read_text())
    try:
        port = preferred if _is_free(address, preferred) else _any(address)
    except OSError as error:
        raise UserError(
            f"nothing can listen on {address}: {error.strerror}; it must be an address of this"
            " machine",
            remedy="ip -brief address",
        ) from error
    write(file, str(port), 0o644)
    return port


def _is_free(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server((address, port)):
        return True
    return False


def _any(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        port = server.getsockname()[1]
    assert isinstance(port, int)
    return port
