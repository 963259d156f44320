"""The programs that the host's file lets a check run."""

import pytest

from standfast.adapters.checks.config import Program
from standfast.agent.allowed import DEFAULT_TEXT, parse
from standfast.agent.programs import example_of
from standfast.errors import UserError
from standfast.wire.resources import Check, CommandCheck, HttpCheck, Systemd, TcpCheck

NAMED = '[allow]\nunits = ["*"]\n[checks.orders]\ncommand = ["/usr/bin/look", "-q"]\n'


def web(check: Check) -> tuple[Systemd]:
    return (Systemd(name="web", unit="web.service", check=check),)


def test_a_name_stands_for_what_the_file_says() -> None:
    assert parse(NAMED).programs == {"orders": Program(("/usr/bin/look", "-q"), "nobody")}
    assert parse(NAMED + 'user = "app"').programs["orders"].user == "app"


def test_the_default_names_none_and_its_example_reads() -> None:
    assert parse(DEFAULT_TEXT).programs == {}
    lines = DEFAULT_TEXT.splitlines()
    at = lines.index("# [checks.orders]")
    shown = "\n".join(line.removeprefix("# ") for line in lines[at : at + 3])
    assert parse(shown).programs["orders"].user == "orders"


def test_a_program_that_the_file_does_not_name_is_refused_with_what_to_add() -> None:
    parse(NAMED).check(web(CommandCheck(name="orders")))
    with pytest.raises(UserError, match="resource web is checked by the program rm") as refused:
        parse(NAMED).check(web(CommandCheck(name="rm")))
    assert example_of("rm") in refused.value.remedy


@pytest.mark.parametrize("make", [TcpCheck, HttpCheck])
def test_an_application_is_asked_here_or_where_the_file_allows_it(
    make: type[TcpCheck | HttpCheck],
) -> None:
    closed = parse('[allow]\nunits = ["*"]\naddresses = ["10.0.0.0/24"]')
    for address in ("127.0.0.1", "::1", "10.0.0.9"):
        closed.check(web(make(address=address, port=80)))
    with pytest.raises(UserError, match=r"is asked at 169\.254\.169\.254"):
        closed.check(web(make(address="169.254.169.254", port=80)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("checks = 1", "checks is not a section"),
        ("[checks]\norders = 1", r"\[checks.orders\] is not a section"),
        ("[checks.Or_ders]", "a name has a-z, 0-9 and -"),
        (f"[checks.{'a' * 64}]", "up to 63"),
        ("[checks.a]\nshell = true", "has 'shell', and takes command, user"),
        ("[checks.a]", "needs a command"),
        ('[checks.a]\ncommand = "/bin/true"', "needs a command"),
        ("[checks.a]\ncommand = [1]", "needs a command"),
        ('[checks.a]\ncommand = ["true"]', "'true' is no plain absolute path"),
        ('[checks.a]\ncommand = ["/bin/../true"]', "no plain absolute path"),
        ('[checks.a]\ncommand = ["/bin/true"]\nuser = "-x"', "no name of a user"),
        ('[checks.a]\ncommand = ["/bin/true"]\nuser = 0', "no name of a user"),
    ],
)
def test_what_does_not_read_allows_nothing(text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse(text)
