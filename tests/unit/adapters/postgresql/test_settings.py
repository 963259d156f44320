"""The texts in a database's configuration."""

from standfast.adapters.postgresql.settings import (
    Wanted,
    conninfo,
    following,
    hba_block,
    pgpass,
    read_pgpass,
    slot_name,
    with_block,
    written,
)

USERS = "local all postgres peer\nhost all all 10.0.0.0/8 scram-sha-256\n"


def test_the_file_says_whose_it_is_and_quotes() -> None:
    text = Wanted("orders-pg", 15, names='FIRST 1 ("b")', conninfo="password='it''s'").text()
    assert "HAResource orders-pg" in text
    assert "synchronous_standby_names = 'FIRST 1 (\"b\")'\n" in text
    assert "primary_conninfo = 'password=''it''''s'''\n" in text
    assert "ssl_cert_file" not in text


def test_a_certificate_of_ours_is_used_where_the_server_has_none() -> None:
    text = Wanted("pg", 15, own_certificate="/etc/pg").text()
    assert "ssl = 'on'\n" in text
    assert "ssl_key_file = '/etc/pg/standfast.key'\n" in text


def test_every_address_is_tried_in_turn() -> None:
    fields = following(("10.0.1.1", "10.0.2.1"), 5433, "secret", "uid-b")
    assert (fields["host"], fields["port"]) == ("10.0.1.1,10.0.2.1", "5433,5433")
    assert (fields["sslmode"], fields["channel_binding"]) == ("require", "require")
    assert conninfo({"a": "b c", "d": r"\'"}) == r"a='b c' d='\\\''"


def test_our_block_comes_first_and_replaces_itself() -> None:
    once = with_block(USERS, hba_block(("10.0.1.2",)))
    assert once.index("hostssl replication standfast 10.0.1.2/32") < once.index(
        "local all postgres"
    )
    twice = with_block(once, hba_block(("fd00::2",)))
    assert "10.0.1.2" not in twice
    assert "fd00::2/128" in twice
    assert twice.endswith(USERS)


def test_a_slot_is_named_in_letters_that_a_slot_may_have() -> None:
    assert slot_name("0a1B-2c") == "standfast_0a1b_2c"
    assert len(slot_name("x" * 99)) == 63


def test_the_file_reads_as_it_was_written() -> None:
    rows = written(Wanted("pg", 15, names='FIRST 1 ("b")', conninfo=r"a='it\\'s'").text())
    assert rows["synchronous_standby_names"] == 'FIRST 1 ("b")'
    assert rows["primary_conninfo"] == r"a='it\\'s'"
    assert rows["primary_slot_name"] == ""


def test_a_password_file_reads_as_it_was_written() -> None:
    assert read_pgpass(pgpass("secret")) == "secret"
    assert read_pgpass("") == ""


def test_a_crashed_server_need_not_flush_file_by_file() -> None:
    assert "recovery_init_sync_method = 'syncfs'" in Wanted("pg", 14).text()
    assert "recovery_init_sync_method" not in Wanted("pg", 13).text()
