"""Detection of missing lines, and their recovery after any loss."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.fleet.gap_tracker import MAX_JOURNALS, MAX_RANGES, GapTracker
from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.sinks.mqtt.fleet import ResendReply, ResendRequest
from soundwatch.daemon.sinks.mqtt.node_report import MAX_SEQ
from support.fleet_harness import JOURNAL, line_of, report_of

OTHER = "fedcba9876543210"


def repeated(message: LineMessage) -> LineMessage:
    return replace(message, repeated=True)


def test_a_line_is_new_once() -> None:
    tracker = GapTracker({}, {}, {})
    assert tracker.add_line(line_of(1))
    assert not tracker.add_line(repeated(line_of(1)))
    assert tracker.add_line(line_of(1, journal=OTHER)), "another journal's numbers are others"
    assert tracker.add_line(line_of(1, node="edge2"))


def test_a_gap_is_requested_after_the_node_reports_the_lines_as_sent() -> None:
    tracker = GapTracker({}, {}, {})
    for seq in (1, 2, 5):
        tracker.add_line(line_of(seq))
    assert tracker.next_request("edge1") is None, "nobody knows yet whether more of it is on its way"
    tracker.add_report("edge1", report_of(9, 7).report)
    assert tracker.next_request("edge1") == ResendRequest(JOURNAL, 2, 4)
    for seq in (3, 4):
        tracker.add_line(line_of(seq))
    assert tracker.next_request("edge1") == ResendRequest(JOURNAL, 5, 7)


def test_lines_that_the_node_no_longer_has_are_counted_and_not_requested_again() -> None:
    tracker = GapTracker({}, {}, {})
    for seq in (1, 10):
        tracker.add_line(line_of(seq))
    tracker.add_report("edge1", report_of(10, 10).report)
    tracker.add_line(line_of(8))
    tracker.add_line(line_of(9))
    tracker.add_reply("edge1", ResendReply(JOURNAL, 1, 7, ()))
    assert tracker.next_request("edge1") is None
    assert tracker.lost_lines("edge1") == 6
    assert tracker.add_line(line_of(5)), "a line that comes after all is welcome"
    assert tracker.lost_lines("edge1") == 5


def test_only_later_lines_of_a_new_node_are_requested() -> None:
    tracker = GapTracker({}, {}, {})
    tracker.add_report("edge1", report_of(1000, 1000).report)
    assert tracker.next_request("edge1") is None
    tracker.add_line(line_of(1001))
    tracker.add_report("edge1", report_of(1003, 1003).report)
    assert tracker.next_request("edge1") == ResendRequest(JOURNAL, 1001, 1003)


def test_a_new_node_is_requested_completely_with_the_past_option() -> None:
    tracker = GapTracker({}, {}, {}, past=True)
    tracker.add_report("edge1", report_of(1000, 1000).report)
    assert tracker.next_request("edge1") == ResendRequest(JOURNAL, 0, 1000)


def test_a_new_journal_of_a_known_node_is_requested_completely() -> None:
    tracker = GapTracker({}, {}, {})
    tracker.add_line(line_of(1))
    tracker.add_report("edge1", report_of(4, 4).report)
    tracker.add_report("edge1", report_of(2, 2, journal=OTHER).report)
    assert tracker.lost_lines("edge1") == 3
    assert tracker.next_request("edge1") == ResendRequest(OTHER, 0, 2)


def test_known_lines_survive_a_restart() -> None:
    tracker = GapTracker({}, {}, {})
    for seq in (1, 4):
        tracker.add_line(line_of(seq))
    tracker.add_report("edge1", report_of(4, 4).report)
    later = GapTracker(tracker.take_changed()[0], {}, {})
    assert not later.add_line(repeated(line_of(4)))
    later.add_report("edge1", report_of(4, 4).report)
    assert later.next_request("edge1") == ResendRequest(JOURNAL, 1, 3)
    assert later.take_changed() == ({}, set())


def test_a_resent_line_that_was_lost_again_is_requested_again() -> None:
    tracker = GapTracker({}, {}, {}, past=True)
    tracker.add_report("edge1", report_of(9, 9).report)
    tracker.add_line(repeated(line_of(3)))
    tracker.add_reply("edge1", ResendReply(JOURNAL, 0, 9, ((2, 5), (8, 9))))
    assert tracker.lost_lines("edge1") == 3, "1, 6 and 7 are no more"
    assert tracker.next_request("edge1") == ResendRequest(JOURNAL, 1, 2)


def test_a_repeated_number_without_a_mark_is_another_line() -> None:
    tracker = GapTracker({}, {}, {})
    assert tracker.add_line(line_of(1))
    assert tracker.add_line(line_of(1)), "a loss of power took the journal's last numbers back"


def test_gaps_of_an_old_journal_are_dropped_after_an_absence_of_the_collector() -> None:
    tracker = GapTracker({}, {}, {})
    tracker.add_line(line_of(1))
    tracker.add_report("edge1", report_of(4, 4).report)
    later = GapTracker(tracker.take_changed()[0], {"edge1": JOURNAL}, {})
    later.add_report("edge1", report_of(2, 2, journal=OTHER).report)
    assert later.lost_lines("edge1") == 3


@pytest.mark.slow
@given(
    st.lists(st.booleans(), min_size=1, max_size=80),
    st.integers(1, 7),
    st.integers(0, 40),
    st.randoms(use_true_random=False),
)
def test_lost_messages_are_recovered_or_counted(
    arrives: list[bool], at_once: int, dropped: int, random: Random
) -> None:
    lines = len(arrives)
    kept = range(min(dropped, lines) + 1, lines + 1)  # the machine's journal dropped its oldest
    tracker = GapTracker({}, {}, {}, past=True)
    here = [seq for seq, comes in enumerate(arrives, 1) if comes]
    random.shuffle(here)
    for seq in here:
        assert tracker.add_line(line_of(seq))
    tracker.add_report("edge1", report_of(lines, lines).report)
    for turn in range(4 * lines + 4):
        asked = tracker.next_request("edge1")
        if asked is None:
            break
        answer = [seq for seq in kept if asked.after < seq <= asked.up_to][:at_once]
        for place, seq in enumerate(answer):
            if place == 0 or turn % 2:  # of every other answer only the first line arrives
                tracker.add_line(repeated(line_of(seq)))
        up_to = answer[-1] if len(answer) == at_once else asked.up_to
        tracker.add_reply("edge1", ResendReply(JOURNAL, asked.after, up_to, tuple((seq, seq) for seq in answer)))
    assert tracker.next_request("edge1") is None
    assert tracker.lost_lines("edge1") == len(set(range(1, lines + 1)) - set(here) - set(kept))


def test_a_node_with_many_gaps_has_a_bounded_coverage_and_loses_no_line() -> None:
    tracker = GapTracker({}, {}, {}, past=True)
    lines = 2 * MAX_RANGES + 500
    received = {seq for seq in range(1, lines + 1, 2) if tracker.add_line(line_of(seq))}
    [coverage] = tracker.take_changed()[0].values()
    assert len(coverage.held) == MAX_RANGES
    tracker.add_report("edge1", report_of(lines, lines).report)
    while (request := tracker.next_request("edge1")) is not None:
        last = min(request.up_to, request.after + 200)
        received |= {
            seq for seq in range(request.after + 1, last + 1) if tracker.add_line(repeated(line_of(seq))) is not None
        }
        tracker.add_reply("edge1", ResendReply(JOURNAL, request.after, last, ((request.after + 1, last),)))
    assert received == set(range(1, lines + 1))
    assert tracker.lost_lines("edge1") == 0


def test_a_node_with_many_journals_keeps_its_current_one_and_the_last_changed_ones() -> None:
    tracker = GapTracker({}, {}, {})
    tracker.add_report("edge1", report_of(4, 4).report)
    for number in range(1000):
        tracker.add_line(line_of(1, journal=f"{number:x}"))
    changed, forgotten = tracker.take_changed()
    assert len(changed) == MAX_JOURNALS
    assert ("edge1", JOURNAL) in changed
    assert ("edge1", f"{999:x}") in changed
    assert len(forgotten) == 1001 - MAX_JOURNALS
    assert not forgotten & set(changed)


def test_the_count_of_lost_lines_fits_a_database_for_any_report() -> None:
    tracker = GapTracker({}, {}, {}, past=True)
    for number in range(1200):
        tracker.add_report("edge1", report_of(MAX_SEQ - 1, MAX_SEQ - 1, journal=f"{number:x}").report)
    assert tracker.lost_lines("edge1") == MAX_SEQ


def test_the_count_of_lost_lines_outlasts_journals_that_were_forgotten() -> None:
    tracker = GapTracker({}, {}, {})
    tracker.add_line(line_of(1))
    tracker.add_report("edge1", report_of(4, 4).report)
    for number in range(MAX_JOURNALS + 1):
        tracker.add_report("edge1", report_of(0, None, journal=f"{number:x}").report)
    later = GapTracker(tracker.take_changed()[0], {}, {"edge1": tracker.lost_lines("edge1")})
    assert later.lost_lines("edge1") == 3


@given(st.data())
def test_the_running_count_of_lost_lines_equals_the_count_of_the_coverages(data: st.DataObject) -> None:
    tracker = GapTracker({}, {}, {}, past=True)
    seqs = st.integers(1, 40)
    for _ in range(data.draw(st.integers(1, 40))):
        match data.draw(st.sampled_from(["line", "repeated", "report", "reply"])):
            case "line":
                tracker.add_line(line_of(data.draw(seqs)))
            case "repeated":
                tracker.add_line(repeated(line_of(data.draw(seqs))))
            case "report":
                tracker.add_report("edge1", report_of(40, data.draw(seqs)).report)
            case _:
                after, up_to = sorted((data.draw(seqs), data.draw(seqs)))
                first = data.draw(st.integers(after, up_to))
                tracker.add_reply("edge1", ResendReply(JOURNAL, after, up_to, ((first, up_to),)))
    coverages = tracker._journals.get("edge1", {}).values()
    assert tracker.lost_lines("edge1") == sum(coverage.lost_lines for coverage in coverages)
