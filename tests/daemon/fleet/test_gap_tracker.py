"""What is missing, and that all of it comes in the end, whatever happens on the way."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.fleet.gap_tracker import GapTracker
from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.sinks.mqtt.fleet import ResendReply, ResendRequest
from support.fleet_harness import JOURNAL, line_of, report_of

OTHER = "fedcba9876543210"


def again(said: LineMessage) -> LineMessage:
    return replace(said, repeated=True)


def test_a_line_is_new_once() -> None:
    accounts = GapTracker({})
    assert accounts.take(line_of(1))
    assert not accounts.take(again(line_of(1)))
    assert accounts.take(line_of(1, journal=OTHER)), "another journal's numbers are others"
    assert accounts.take(line_of(1, node="edge2"))


def test_a_hole_is_asked_for_once_its_machine_says_that_it_has_sent_it() -> None:
    accounts = GapTracker({})
    for seq in (1, 2, 5):
        accounts.take(line_of(seq))
    assert accounts.wanted("edge1") is None, "nobody knows yet whether more of it is on its way"
    accounts.report("edge1", report_of(9, 7).report)
    assert accounts.wanted("edge1") == ResendRequest(JOURNAL, 2, 4)
    for seq in (3, 4):
        accounts.take(line_of(seq))
    assert accounts.wanted("edge1") == ResendRequest(JOURNAL, 5, 7)


def test_what_its_machine_does_not_have_any_more_is_gone_and_counted_and_not_asked_for_again() -> None:
    accounts = GapTracker({})
    for seq in (1, 10):
        accounts.take(line_of(seq))
    accounts.report("edge1", report_of(10, 10).report)
    accounts.take(line_of(8))
    accounts.take(line_of(9))
    accounts.done("edge1", ResendReply(JOURNAL, 1, 7, ()))
    assert accounts.wanted("edge1") is None
    assert accounts.lost_lines("edge1") == 6
    assert accounts.take(line_of(5)), "a line that comes after all is welcome"
    assert accounts.lost_lines("edge1") == 5


def test_of_a_new_machine_only_what_comes_from_now_on_is_wanted() -> None:
    accounts = GapTracker({})
    accounts.report("edge1", report_of(1000, 1000).report)
    assert accounts.wanted("edge1") is None
    accounts.take(line_of(1001))
    accounts.report("edge1", report_of(1003, 1003).report)
    assert accounts.wanted("edge1") == ResendRequest(JOURNAL, 1001, 1003)


def test_of_a_new_machine_all_is_wanted_where_its_past_was_asked_for() -> None:
    accounts = GapTracker({}, past=True)
    accounts.report("edge1", report_of(1000, 1000).report)
    assert accounts.wanted("edge1") == ResendRequest(JOURNAL, 0, 1000)


def test_of_a_machine_that_is_known_all_of_a_new_journal_is_wanted_and_the_old_ones_holes_are_gone() -> None:
    accounts = GapTracker({})
    accounts.take(line_of(1))
    accounts.report("edge1", report_of(4, 4).report)
    accounts.report("edge1", report_of(2, 2, journal=OTHER).report)
    assert accounts.lost_lines("edge1") == 3
    assert accounts.wanted("edge1") == ResendRequest(OTHER, 0, 2)


def test_what_is_known_outlasts_a_restart() -> None:
    accounts = GapTracker({})
    for seq in (1, 4):
        accounts.take(line_of(seq))
    accounts.report("edge1", report_of(4, 4).report)
    later = GapTracker(accounts.changed())
    assert not later.take(again(line_of(4)))
    later.report("edge1", report_of(4, 4).report)
    assert later.wanted("edge1") == ResendRequest(JOURNAL, 1, 3)
    assert later.changed() == {}


def test_what_was_sent_again_and_got_lost_again_is_not_gone() -> None:
    accounts = GapTracker({}, past=True)
    accounts.report("edge1", report_of(9, 9).report)
    accounts.take(again(line_of(3)))
    accounts.done("edge1", ResendReply(JOURNAL, 0, 9, ((2, 5), (8, 9))))
    assert accounts.lost_lines("edge1") == 3, "1, 6 and 7 are no more"
    assert accounts.wanted("edge1") == ResendRequest(JOURNAL, 1, 2)


def test_a_number_that_comes_again_without_a_mark_is_another_line() -> None:
    accounts = GapTracker({})
    assert accounts.take(line_of(1))
    assert accounts.take(line_of(1)), "a loss of power took the journal's last numbers back"


def test_an_old_journals_holes_are_gone_though_the_fleet_was_away_when_it_went() -> None:
    accounts = GapTracker({})
    accounts.take(line_of(1))
    accounts.report("edge1", report_of(4, 4).report)
    later = GapTracker(accounts.changed(), {"edge1": JOURNAL})
    later.report("edge1", report_of(2, 2, journal=OTHER).report)
    assert later.lost_lines("edge1") == 3


@pytest.mark.slow
@given(
    st.lists(st.booleans(), min_size=1, max_size=80),
    st.integers(1, 7),
    st.integers(0, 40),
    st.randoms(use_true_random=False),
)
def test_whatever_gets_lost_on_the_way_all_is_here_in_the_end_or_counted(
    arrives: list[bool], at_once: int, dropped: int, random: Random
) -> None:
    lines = len(arrives)
    kept = range(min(dropped, lines) + 1, lines + 1)  # the machine's journal dropped its oldest
    accounts = GapTracker({}, past=True)
    here = [seq for seq, comes in enumerate(arrives, 1) if comes]
    random.shuffle(here)
    for seq in here:
        assert accounts.take(line_of(seq))
    accounts.report("edge1", report_of(lines, lines).report)
    for turn in range(4 * lines + 4):
        asked = accounts.wanted("edge1")
        if asked is None:
            break
        answer = [seq for seq in kept if asked.after < seq <= asked.up_to][:at_once]
        for place, seq in enumerate(answer):
            if place == 0 or turn % 2:  # of every other answer only the first line arrives
                accounts.take(again(line_of(seq)))
        up_to = answer[-1] if len(answer) == at_once else asked.up_to
        accounts.done("edge1", ResendReply(JOURNAL, asked.after, up_to, tuple((seq, seq) for seq in answer)))
    assert accounts.wanted("edge1") is None
    assert accounts.lost_lines("edge1") == len(set(range(1, lines + 1)) - set(here) - set(kept))
