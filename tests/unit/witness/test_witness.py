"""The witness process: whose identity it takes, whom it enrols, what it forgets."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from standfast.adapters import pki
from standfast.core.ids import ClusterUid
from standfast.errors import RefusedError, UserError
from standfast.witness.witness import Settings, Witness
from tests.unit.member.parts import CLUSTER, Enroller, alone

NOW = datetime.now(UTC)
WITNESS = "w1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    identity = pki.Authority.create(WITNESS, NOW).issue(pki.WitnessProcess(WITNESS), NOW)
    pki.save_identity(tmp_path / "identity", identity)
    return Settings(tmp_path / "state", tmp_path / "identity", ("127.0.0.1:0",))


@pytest.fixture
async def witness(settings: Settings) -> AsyncIterator[Witness]:
    made = Witness(settings)
    made._take_identity()
    made._open_all()
    yield made
    await made._mailbox.close()
    for membership in made._memberships.values():
        await membership.close()


async def test_it_serves_as_itself(witness: Witness) -> None:
    assert witness._process.identities.names() == [f"witness.{WITNESS}.standfast"]
    overview = witness.overview(WITNESS)
    assert overview is not None
    assert (overview.witness_uid, overview.clusters) == (WITNESS, ())
    assert witness.overview("other") is None


async def test_without_an_identity_it_does_not_start(tmp_path: Path) -> None:
    made = Witness(Settings(tmp_path / "state", tmp_path / "nowhere", ()))
    with pytest.raises(UserError, match="there is no identity in"):
        made._take_identity()


async def test_the_identity_of_somebody_else_is_refused(tmp_path: Path) -> None:
    identity = pki.Authority.create("c1", NOW).issue(pki.Member("u", "c1"), NOW)
    pki.save_identity(tmp_path / "identity", identity)
    made = Witness(Settings(tmp_path / "state", tmp_path / "identity", ()))
    with pytest.raises(UserError, match="needs that of a witness"):
        made._take_identity()


async def test_clusters_are_enrolled_over_its_own_identity_only(witness: Witness) -> None:
    with pytest.raises(RefusedError, match="asked for as"):
        witness.enrolling(CLUSTER, CLUSTER)
    with pytest.raises(UserError, match="1 to 63"):
        witness.enrolling(WITNESS, ClusterUid("../../etc"))
    membership = witness.enrolling(WITNESS, CLUSTER)
    assert witness.enrolling(WITNESS, CLUSTER) is membership
    assert witness.membership(CLUSTER) is membership
    assert witness.membership("other") is None


async def test_damaged_votes_of_one_cluster_cost_no_other_its_witness(
    settings: Settings, witness: Witness
) -> None:
    broken = witness.enrolling(WITNESS, CLUSTER)
    enroller = Enroller()
    enroller.certify(broken)
    broken.take_config(enroller.signed(alone(broken)))
    assert broken._journal is not None
    broken._journal.close()
    path = broken.store.journal
    path.write_bytes(b"\xff" * path.stat().st_size)
    alone_again = Witness(settings)
    alone_again._take_identity()
    with pytest.raises(UserError, match="is damaged"):
        alone_again._open_all()
    witness.enrolling(WITNESS, ClusterUid("c2"))
    again = Witness(settings)
    again._take_identity()
    again._open_all()
    assert again.membership("c2") is not None
    assert again.membership(CLUSTER) is None
    overview = again.overview(WITNESS)
    assert overview is not None
    (told,) = (one for one in overview.clusters if one.cluster_uid == CLUSTER)
    assert "is damaged" in told.halted
    with pytest.raises(UserError, match="is damaged"):
        again.enrolling(WITNESS, CLUSTER)
    for process in (alone_again, again):
        await process._mailbox.close()
        for each in process._memberships.values():
            await each.close()


async def test_many_clusters_survive_a_restart(settings: Settings, witness: Witness) -> None:
    membership = witness.enrolling(WITNESS, CLUSTER)
    enroller = Enroller()
    enroller.certify(membership)
    membership.take_config(enroller.signed(alone(membership)))
    witness.enrolling(WITNESS, ClusterUid("c2"))
    assert membership._journal is not None
    membership._journal.close()
    again = Witness(settings)
    again._take_identity()
    again._open_all()
    overview = again.overview(WITNESS)
    assert overview is not None
    assert [(one.cluster_uid, one.configured) for one in overview.clusters] == [
        ("c1", True),
        ("c2", False),
    ]
    await again._mailbox.close()
    for each in again._memberships.values():
        await each.close()


async def test_a_cluster_that_is_gone_is_forgotten_with_its_votes(witness: Witness) -> None:
    membership = witness.enrolling(WITNESS, CLUSTER)
    Enroller().certify(membership)
    assert len(witness._process.identities.names()) == 2
    await witness.forget(WITNESS, CLUSTER)
    assert witness._process.identities.names() == [f"witness.{WITNESS}.standfast"]
    assert witness.membership(CLUSTER) is None
    assert not membership.store.directory.exists()
