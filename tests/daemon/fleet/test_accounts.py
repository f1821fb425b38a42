"""What is missing, and that all of it comes in the end, whatever happens on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleets import JOURNAL, line_of, report_of
from soundwatch.daemon.fleet.accounts import Accounts
from soundwatch.daemon.sinks.mqtt_fleet import Again

OTHER = "fedcba9876543210"


def test_a_line_is_new_once() -> None:
    accounts = Accounts({})
    assert accounts.take(line_of(1))
    assert not accounts.take(line_of(1))
    assert accounts.take(line_of(1, journal=OTHER)), "another journal's numbers are others"
    assert accounts.take(line_of(1, node="edge2"))


def test_a_hole_is_asked_for_once_its_machine_says_that_it_has_sent_it() -> None:
    accounts = Accounts({})
    for seq in (1, 2, 5):
        accounts.take(line_of(seq))
    assert accounts.wanted("edge1") is None, "nobody knows yet whether more of it is on its way"
    accounts.report("edge1", report_of(9, 7).report)
    assert accounts.wanted("edge1") == Again(JOURNAL, 2, 4)
    for seq in (3, 4):
        accounts.take(line_of(seq))
    assert accounts.wanted("edge1") == Again(JOURNAL, 5, 7)


def test_what_its_machine_does_not_have_any_more_is_gone_and_counted_and_not_asked_for_again() -> None:
    accounts = Accounts({})
    for seq in (1, 10):
        accounts.take(line_of(seq))
    accounts.report("edge1", report_of(10, 10).report)
    accounts.take(line_of(8))
    accounts.take(line_of(9))
    accounts.done("edge1", Again(JOURNAL, 1, 7))
    assert accounts.wanted("edge1") is None
    assert accounts.lost_lines("edge1") == 6
    assert accounts.take(line_of(5)), "a line that comes after all is welcome"
    assert accounts.lost_lines("edge1") == 5


def test_of_a_new_machine_only_what_comes_from_now_on_is_wanted() -> None:
    accounts = Accounts({})
    accounts.report("edge1", report_of(1000, 1000).report)
    assert accounts.wanted("edge1") is None
    accounts.take(line_of(1001))
    accounts.report("edge1", report_of(1003, 1003).report)
    assert accounts.wanted("edge1") == Again(JOURNAL, 1001, 1003)


def test_of_a_new_machine_all_is_wanted_where_its_past_was_asked_for() -> None:
    accounts = Accounts({}, past=True)
    accounts.report("edge1", report_of(1000, 1000).report)
    assert accounts.wanted("edge1") == Again(JOURNAL, 0, 1000)


def test_of_a_machine_that_is_known_all_of_a_new_journal_is_wanted_and_the_old_ones_holes_are_gone() -> None:
    accounts = Accounts({})
    accounts.take(line_of(1))
    accounts.report("edge1", report_of(4, 4).report)
    accounts.report("edge1", report_of(2, 2, journal=OTHER).report)
    assert accounts.lost_lines("edge1") == 3
    assert accounts.wanted("edge1") == Again(OTHER, 0, 2)


def test_what_is_known_outlasts_a_restart() -> None:
    accounts = Accounts({})
    for seq in (1, 4):
        accounts.take(line_of(seq))
    accounts.report("edge1", report_of(4, 4).report)
    again = Accounts(accounts.changed())
    assert not again.take(line_of(4))
    again.report("edge1", report_of(4, 4).report)
    assert again.wanted("edge1") == Again(JOURNAL, 1, 3)
    assert again.changed() == {}


@given(st.lists(st.booleans(), min_size=1, max_size=80), st.integers(1, 7), st.integers(0, 40), st.randoms())
def test_whatever_gets_lost_on_the_way_all_is_here_in_the_end_or_counted(
    arrives: list[bool], at_once: int, dropped: int, random: object
) -> None:
    lines = len(arrives)
    kept = range(min(dropped, lines) + 1, lines + 1)  # the machine's journal dropped its oldest
    accounts = Accounts({}, past=True)
    here = [seq for seq, comes in enumerate(arrives, 1) if comes]
    random.shuffle(here)  # type: ignore[attr-defined]  # hypothesis's is a Random
    for seq in here:
        assert accounts.take(line_of(seq))
    accounts.report("edge1", report_of(lines, lines).report)
    for _ in range(2 * lines + 2):
        again = accounts.wanted("edge1")
        if again is None:
            break
        answer = [seq for seq in kept if again.after < seq <= again.up_to][:at_once]
        for seq in answer:
            accounts.take(line_of(seq))
        accounts.done("edge1", Again(JOURNAL, again.after, answer[-1] if len(answer) == at_once else again.up_to))
    assert accounts.wanted("edge1") is None
    assert accounts.lost_lines("edge1") == len(set(range(1, lines + 1)) - set(here) - set(kept))
