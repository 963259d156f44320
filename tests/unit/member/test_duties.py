"""A witness has no duties: what is asked of nodes is refused with where to send it."""

import pytest

from standfast.errors import RefusedError
from standfast.member.duties import NoDuties
from standfast.wire import api


def test_a_witness_takes_nothing_but_votes() -> None:
    duties = NoDuties()
    for ask in (
        lambda: duties.declare(api.GroupRequest(generation=1)),
        lambda: duties.release(api.ReleaseRequest(request_id="r")),
        lambda: duties.cancel_release("r"),
        lambda: duties.stand(api.StandRequest(request_id="r")),
    ):
        with pytest.raises(RefusedError, match="only votes") as refused:
            ask()
        assert "data node" in refused.value.remedy
    assert duties.report().hindrances == ("a witness only votes",)
    assert duties.next_ms() is None
