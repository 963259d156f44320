"""Tables of ours in the packet filter: what is asked of them is done, or is trouble in a sentence.

The filters of leases are built on it. When somebody flushed the rule set of the machine, the
tables are built anew and filled with all that is known before the request goes on. Tables of
others are neither read nor changed. For one thread.
"""

import errno
from collections.abc import Callable, Iterable, Sequence

from standfast.adapters.linux import nft
from standfast.adapters.linux.netlink import (
    NETLINK_NETFILTER,
    Message,
    NetlinkError,
    NetlinkSocket,
)
from standfast.adapters.linux.nft import TableFamily
from standfast.errors import TransientError

LATE_MS_MAX = 10
"""The kernel counts a timeout from when it takes the request up. Had it kept us waiting for
longer than this, the lease would be armed for too long, and is armed again."""


class OwnTables:
    """The socket and the trouble with it; never raises but from `remove`.

    Args:
        tables: What is ours, as (family, name).
        anew: Transactions that make all of it again, from nothing.
    """

    def __init__(
        self,
        tables: Sequence[tuple[TableFamily, str]],
        anew: Callable[[], Iterable[list[Message]]],
    ) -> None:
        self._tables = tables
        self._anew = anew
        self._trouble = ""
        self._netlink: NetlinkSocket | None = None
        try:
            self._netlink = NetlinkSocket(NETLINK_NETFILTER)
        except OSError as error:
            self._complain(error)

    @property
    def trouble(self) -> str:
        return self._trouble

    def ask(self, steps: list[Message]) -> None:
        """One transaction."""
        if self._netlink is None:
            return
        try:
            try:
                self._netlink.request(steps)
            except NetlinkError as error:
                if error.errno != errno.ENOENT:
                    raise
                for each in self._anew():
                    self._netlink.request(each)
                self._netlink.request(steps)
        except (OSError, TransientError) as error:
            self._complain(error)
        else:
            self._trouble = ""

    def drop(self) -> None:
        """Take everything of ours out of the packet filter, as far as the kernel lets us."""
        try:
            self.remove()
        except (OSError, TransientError) as error:
            self._complain(error)

    def remove(self) -> None:
        """Take everything of ours out of the packet filter.

        Raises:
            OSError: The kernel refused.
        """
        if self._netlink is None:
            return
        for family, name in self._tables:
            try:
                self._netlink.request(nft.batch([nft.delete_table(family, name)]))
            except NetlinkError as error:
                if error.errno != errno.ENOENT:
                    raise
        self._trouble = ""

    def close(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _complain(self, error: OSError | TransientError) -> None:
        why = error.strerror if isinstance(error, OSError) else error.problem
        self._trouble = f"the kernel's packet filter does not hold the lease: {why}"
