"""Names in certificates and the roles behind them."""

import pytest

from standfast.adapters.pki import (
    Bootstrap,
    Member,
    Operator,
    Role,
    WitnessProcess,
    dns_name,
    role_named,
)
from standfast.errors import UserError

CLUSTER = "0b1f7d5e-9f0e-4c61-9f4e-2f6f0c1d2e3f"


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (Member("7c9e6679-7425-40de-944b-e07fc1f90ae7", CLUSTER), None),
        (Operator(CLUSTER), f"operator.{CLUSTER}.standfast"),
        (Bootstrap(CLUSTER), f"bootstrap.{CLUSTER}.standfast"),
        (WitnessProcess(CLUSTER), f"witness.{CLUSTER}.standfast"),
    ],
)
def test_every_role_is_read_back_from_its_name(role: Role, name: str | None) -> None:
    assert role_named(dns_name(role)) == role
    if name is not None:
        assert dns_name(role) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "standfast",
        "a.standfast",
        "a.b.c.standfast",
        "a.b.example",
        "A.b.standfast",
        ".b.standfast",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="and ours name"):
        role_named(name)
