"""Handshakes in memory: who gets in, who does not, and with which sentence."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from standfast.adapters.pki import (
    Authority,
    Bootstrap,
    Identity,
    Member,
    Operator,
    Role,
    ServerIdentities,
    WitnessProcess,
    client_context,
    connection_problem,
    dns_name,
    make_request,
    new_key,
    peer_role,
)
from standfast.errors import RefusedError, TransientError, UserError

NOW = datetime.now(UTC)
ONE, TWO = "11111111-aaaa", "22222222-bbbb"


def member(authority: Authority, uid: str, now: datetime = NOW) -> Identity:
    key = new_key()
    role = Member(uid, authority.scope)
    certificate = authority.sign_request(make_request(key, role), role, now)
    return Identity(authority.certificate, certificate, key)


def handshake(
    client: Identity, wanted: str, server: ServerIdentities, *, checks_time: bool = False
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after the handshake; raises what the failing end saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = client_context(client, checks_time=checks_time)
    asking = context.wrap_bio(to_client, to_server, server_hostname=wanted)
    serving = server.context.wrap_bio(to_server, to_client, server_side=True)
    pending = {"client": asking, "server": serving}
    for _ in range(10):
        for name, side in list(pending.items()):
            try:
                side.do_handshake()
                del pending[name]
            except ssl.SSLWantReadError:
                continue
    if not pending:  # TLS 1.3: a refusal of the client's certificate comes with the first read
        for side in (serving, asking):
            try:
                side.read(1)
            except ssl.SSLWantReadError:
                continue
    assert not pending
    return asking, serving


@pytest.fixture(scope="module")
def first() -> Authority:
    return Authority.create(ONE, NOW)


@pytest.fixture(scope="module")
def second() -> Authority:
    return Authority.create(TWO, NOW)


@pytest.fixture
def server(first: Authority, second: Authority) -> ServerIdentities:
    """A process that serves two clusters on one port."""
    found = ServerIdentities()
    found.put(member(first, "m1"))
    found.put(member(second, "m1"))
    return found


def test_members_meet_and_know_each_other(first: Authority, server: ServerIdentities) -> None:
    asking, serving = handshake(member(first, "m2"), dns_name(Member("m1", ONE)), server)
    assert peer_role(serving) == Member("m2", ONE)
    assert peer_role(asking) == Member("m1", ONE)
    assert asking.version() == "TLSv1.3"


@pytest.mark.parametrize("scope", [ONE, TWO])
def test_the_name_asked_for_chooses_the_cluster(
    scope: str, first: Authority, second: Authority, server: ServerIdentities
) -> None:
    authority = first if scope == ONE else second
    _, serving = handshake(member(authority, "m2"), dns_name(Member("m1", scope)), server)
    assert peer_role(serving) == Member("m2", scope)


def test_a_member_of_another_cluster_is_turned_away(
    first: Authority, second: Authority, server: ServerIdentities
) -> None:
    """It trusts the right authority, but its own certificate is from the other one."""
    stranger = member(second, "m2")
    mixed = Identity(first.certificate, stranger.certificate, stranger.key)
    with pytest.raises(ssl.SSLError):
        handshake(mixed, dns_name(Member("m1", ONE)), server)


def test_a_server_with_another_authority_is_not_believed(
    second: Authority, server: ServerIdentities
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        handshake(member(second, "m2"), dns_name(Member("m1", ONE)), server)
    problem = connection_problem(caught.value, "m1")
    assert isinstance(problem, UserError)
    assert "m1 is not who answered" in problem.problem


@pytest.mark.parametrize("wanted", [dns_name(Member("m9", ONE)), "localhost"])
def test_an_unknown_name_is_turned_away(
    wanted: str, first: Authority, server: ServerIdentities
) -> None:
    with pytest.raises(ssl.SSLError) as caught:
        handshake(member(first, "m2"), wanted, server)
    assert caught.value.reason is not None


def test_the_alert_for_an_unknown_name_reads_as_a_sentence() -> None:
    error = ssl.SSLError(1, "[SSL: TLSV1_UNRECOGNIZED_NAME] tlsv1 unrecognized name")
    error.reason = "TLSV1_UNRECOGNIZED_NAME"
    problem = connection_problem(error, "m9")
    assert isinstance(problem, TransientError)
    assert "m9 is not served at that address" in problem.problem


def test_a_name_removed_is_served_no_more(first: Authority, server: ServerIdentities) -> None:
    name = dns_name(Member("m1", ONE))
    assert name in server.names()
    server.remove(name)
    with pytest.raises(ssl.SSLError):
        handshake(member(first, "m2"), name, server)


def test_a_client_without_certificate_is_turned_away(
    first: Authority, server: ServerIdentities
) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=first.certificate)
    name = dns_name(Member("m1", ONE))
    asking = context.wrap_bio(to_client, to_server, server_hostname=name)
    serving = server.context.wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        asking.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        serving.do_handshake()
    asking.do_handshake()
    with pytest.raises(ssl.SSLError, match="peer did not return a certificate"):
        serving.do_handshake()


@pytest.mark.parametrize("role", [Operator(ONE), Bootstrap(ONE)])
def test_other_roles_are_read_from_the_certificate(role: Role, first: Authority) -> None:
    server = ServerIdentities()
    server.put(first.issue(Bootstrap(ONE), NOW))
    asking, serving = handshake(first.issue(Operator(ONE), NOW), dns_name(Bootstrap(ONE)), server)
    assert peer_role(serving if isinstance(role, Operator) else asking) == role


@pytest.mark.parametrize("role", [Bootstrap(ONE), WitnessProcess(ONE)])
def test_who_may_only_serve_cannot_be_a_client(
    role: Role, first: Authority, server: ServerIdentities
) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(first.issue(role, NOW), dns_name(Member("m1", ONE)), server)


def test_the_operator_cannot_pose_as_a_server(first: Authority) -> None:
    server = ServerIdentities()
    server.put(first.issue(Operator(ONE), NOW))
    with pytest.raises(ssl.SSLError):
        handshake(member(first, "m2"), dns_name(Operator(ONE)), server)


def test_an_expired_member_is_still_a_member(first: Authority) -> None:
    """Clocks jump and operators are lost; neither takes the quorum apart (F21, F92)."""
    long_ago = NOW - timedelta(days=4000)
    server = ServerIdentities()
    server.put(member(first, "m1", long_ago))
    _, serving = handshake(member(first, "m2", long_ago), dns_name(Member("m1", ONE)), server)
    assert peer_role(serving) == Member("m2", ONE)


@pytest.mark.parametrize("days", [-3, 3])
def test_an_operator_out_of_time_is_refused(
    days: int, first: Authority, server: ServerIdentities
) -> None:
    operator = first.issue(Operator(ONE), NOW)
    _, serving = handshake(operator, dns_name(Member("m1", ONE)), server)
    assert peer_role(serving) == Operator(ONE)
    with pytest.raises(RefusedError, match=r"the operator's certificate is valid from .* here it"):
        peer_role(serving, lambda: NOW + timedelta(days=days))


def test_an_expired_bundle_cannot_be_enrolled(first: Authority) -> None:
    operator, wanted = first.issue(Operator(ONE), NOW), dns_name(Bootstrap(ONE))
    server = ServerIdentities()
    server.put(first.issue(Bootstrap(ONE), NOW))
    handshake(operator, wanted, server, checks_time=True)
    server.put(first.issue(Bootstrap(ONE), NOW - timedelta(days=2)))
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        handshake(operator, wanted, server, checks_time=True)


def test_an_authority_cannot_vouch_for_another_scope(first: Authority) -> None:
    """Even a certificate made with the stolen key of one cluster names only that cluster."""
    stolen = Authority(first.certificate, first.key)
    with pytest.raises(UserError, match="does not certify"):
        stolen.issue(Operator(TWO), NOW)


def test_the_constraint_in_the_authority_holds_without_our_checks(
    first: Authority, second: Authority
) -> None:
    """Sign for another scope by force: the handshake itself refuses it."""

    class Forger(Authority):
        scope = TWO  # type: ignore[assignment]  # that is the forgery

    forger = Forger(first.certificate, first.key)
    server = ServerIdentities()
    server.put(forger.issue(Bootstrap(TWO), NOW))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(first.issue(Operator(ONE), NOW), dns_name(Bootstrap(TWO)), server)


def test_parts_that_do_not_belong_together_are_refused(first: Authority) -> None:
    one, other = member(first, "m1"), member(first, "m2")
    with pytest.raises(UserError, match="does not hold together"):
        client_context(Identity(one.ca, one.certificate, other.key))
