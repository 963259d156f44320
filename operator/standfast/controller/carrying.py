"""What carrying any word of a person needs: the errand, who is heard, and the answer.

A word is an annotation (ADR-0029); what stands in its way is a claim that the cluster shows.
"""

from standfast.controller.errands import Errands
from standfast.controller.members import Act
from standfast.controller.sites import Provision, Site
from standfast.core.explain import Claim
from standfast.core.ids import MemberUid
from standfast.core.reasons import Reason
from standfast.errors import RefusedError, StandfastError, UserError
from standfast.wire.api import MemberStatus

LIFETIME_MS = 300_000
"""How long a word for this moment is good, and what is signed upon it."""


def want(errands: Errands, site: Site, name: tuple[str, ...], act: Act) -> Provision | None:
    """Have it done; what refused it the last time is the answer."""
    errands.want(site.key, name, act)
    error = errands.error(site.key, name)
    return stalled(error) if isinstance(error, UserError | RefusedError) else None


def who_hears(statuses: list[MemberStatus], uid: MemberUid, boot: str = "") -> str:
    """Who is linked with a member, in this boot if one is named; "" when nobody is."""
    for status in statuses:
        for peer in status.peers:
            if peer.member == uid and peer.reachable and boot in {"", peer.boot}:
                return status.name
    return ""


def stalled(error: StandfastError) -> Provision:
    return refused(error.problem, error.remedy)


def refused(problem: str, remedy: str) -> Provision:
    return Provision(stalled=Claim(True, Reason.WORD_REFUSED, problem, remedy))
