"""What the switch drops, and the nftables text of it."""

import pytest

from standfast.errors import UserError
from standfast.lab.rules import (
    Cut,
    Rules,
    Shape,
    cuts_between,
    loss_from,
    ms_from,
    ruleset,
)

PORTS = ("client", "host", "vm-a-1", "vm-a-2", "vm-b-1")


def test_a_full_cut_silences_and_deafens_the_port() -> None:
    rules = Rules().cut(cuts_between(["vm-a-1"], None, one_way=False))
    text = ruleset(rules, PORTS)
    assert 'set silent {\n    type ifname;\n    elements = { "vm-a-1" }' in text
    assert 'set deaf {\n    type ifname;\n    elements = { "vm-a-1" }' in text


def test_a_one_way_cut_only_silences() -> None:
    text = ruleset(Rules().cut(cuts_between(["vm-a-1"], None, one_way=True)), PORTS)
    assert 'set silent {\n    type ifname;\n    elements = { "vm-a-1" }' in text
    assert "set deaf {\n    type ifname;\n  }" in text


def test_a_pair_is_cut_by_the_mark_of_the_one_and_the_port_of_the_other() -> None:
    text = ruleset(Rules().cut(cuts_between(["vm-a-1"], ["vm-b-1"], one_way=False)), PORTS)
    assert 'elements = { 3 . "vm-b-1", 5 . "vm-a-1" }' in text
    assert '"vm-a-1" : 3' in text
    assert '"vm-b-1" : 5' in text


def test_a_pair_with_a_port_that_is_not_plugged_in_says_nothing_about_it() -> None:
    rules = Rules().cut(cuts_between(["vm-c-1"], ["vm-b-1"], one_way=True))
    assert "set apart {\n    type mark . ifname;\n  }" in ruleset(rules, PORTS)


def test_each_change_replaces_the_whole_table_in_one_transaction() -> None:
    lines = ruleset(Rules(), PORTS).splitlines()
    assert lines[:3] == ["table bridge lab", "delete table bridge lab", "table bridge lab {"]


def test_healing_one_port_leaves_the_cuts_of_others() -> None:
    rules = Rules().cut([Cut("vm-a-1", "*"), Cut("vm-b-1", "*")])
    assert rules.heal(["vm-a-1"]).cuts == {Cut("vm-b-1", "*")}


def test_healing_ends_a_pair_from_either_side() -> None:
    rules = Rules().cut(cuts_between(["vm-a-1"], ["vm-b-1"], one_way=False))
    assert rules.heal(["vm-b-1"]).cuts == frozenset()


def test_healing_never_ends_a_stun() -> None:
    assert Rules().stun(["vm-a-1"]).heal().stunned == {"vm-a-1"}


def test_thawing_never_ends_a_cut() -> None:
    rules = Rules().cut([Cut("vm-a-1", "*")]).stun(["vm-a-1"]).unstun(["vm-a-1"])
    assert rules.cuts == {Cut("vm-a-1", "*")}


def test_loss_is_drawn_in_both_directions() -> None:
    text = ruleset(Rules().shape(["vm-a-1"], Shape(loss=0.05)), PORTS)
    assert 'iifname "vm-a-1" numgen random mod 10000 < 500 drop' in text
    assert 'oifname "vm-a-1" numgen random mod 10000 < 500 drop' in text


def test_long_packets_are_dropped_in_both_directions() -> None:
    text = ruleset(Rules().shape(["vm-a-1"], Shape(bytes_max=1000)), PORTS)
    assert 'iifname "vm-a-1" meta length > 1000 drop' in text
    assert 'oifname "vm-a-1" meta length > 1000 drop' in text


def test_a_shape_of_nothing_ends_the_shape() -> None:
    assert Rules().shape(["vm-a-1"], Shape(loss=0.5)).shape(["vm-a-1"], Shape()) == Rules()


def test_delays_are_for_the_queue_and_not_for_the_filter() -> None:
    rules = Rules().shape(["vm-a-1"], Shape(delay_ms=20))
    assert rules.delays() == {"vm-a-1": 20}
    assert "numgen" not in ruleset(rules, PORTS)


@pytest.mark.parametrize(("text", "part"), [("5%", 0.05), ("0.05", 0.05), ("100%", 1), ("0", 0)])
def test_losses_are_read_as_people_write_them(text: str, part: float) -> None:
    assert loss_from(text) == pytest.approx(part)


@pytest.mark.parametrize(("text", "ms"), [("20ms", 20), ("3s", 3000), ("1.5s", 1500)])
def test_times_are_read_as_people_write_them(text: str, ms: int) -> None:
    assert ms_from(text) == ms


@pytest.mark.parametrize("text", ["20", "fast", "-1s", ""])
def test_a_time_without_a_unit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UserError) as refused:
        ms_from(text)
    assert "20ms" in refused.value.remedy


def test_a_loss_of_more_than_all_is_refused() -> None:
    with pytest.raises(UserError, match="not a part of the whole"):
        Shape(loss=1.5)
