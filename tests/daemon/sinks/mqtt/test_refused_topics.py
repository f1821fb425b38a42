"""Topics that a broker refuses: left out for a while, then tried again."""

from __future__ import annotations

from itertools import pairwise

from soundwatch.daemon.sinks.mqtt.refused_topics import FIRST_PAUSE_S, LONGEST_PAUSE_S, RefusedTopics


class Steady:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_refused_topic_is_left_out_for_longer_each_time() -> None:
    clock = Steady()
    topics = RefusedTopics(clock)
    pauses_s = []
    for refusal in range(12):
        assert topics.add("a") is (refusal == 0)
        assert not topics.add("a"), "it was left out, so this is not a refusal of now"
        began_s = clock.now_s
        while "a" in topics:
            clock.now_s += FIRST_PAUSE_S
        pauses_s.append(clock.now_s - began_s)
        assert topics.due == {"a"}
    assert pauses_s[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses_s[-1] == LONGEST_PAUSE_S
    assert topics.count == 12


def test_a_new_connection_tries_all_but_a_topic_that_was_refused_just_now() -> None:
    clock = Steady()
    topics = RefusedTopics(clock)
    for _ in range(5):
        topics.add("old")
        while "old" in topics:
            clock.now_s += FIRST_PAUSE_S
    topics.add("old")
    clock.now_s += FIRST_PAUSE_S
    topics.add("young")
    topics.connected()
    assert "old" not in topics
    assert "young" in topics


def test_a_topic_that_is_taken_is_forgotten() -> None:
    clock = Steady()
    topics = RefusedTopics(clock)
    topics.add("a")
    assert topics.accept(["a", "b"]) == [], "it is left out, so it cannot have been taken"
    clock.now_s += FIRST_PAUSE_S
    assert topics.accept(["a", "b"]) == ["a"]
    assert topics.due == frozenset()
    assert topics.add("a"), "the next refusal is a first one again"


def test_pauses_grow_where_the_broker_disconnects_at_each_refusal() -> None:
    clock = Steady()
    topics = RefusedTopics(clock)
    tries_s = []
    for _ in range(200):
        refused = "a" not in topics
        if refused:
            topics.add("a")
            tries_s.append(clock.now_s)
        clock.now_s += 1.0
        if refused:
            topics.connected()
    assert [after_s - before_s for before_s, after_s in pairwise(tries_s)] == [10.0, 20.0, 40.0, 80.0]
