"""core/process/subscribers.py."""

from __future__ import annotations

from soundwatch.daemon.core.process.subscribers import Subscribers


def test_functions_are_called_in_the_order_of_their_subscription_until_they_are_removed() -> None:
    called: list[tuple[str, int]] = []
    subscribers = Subscribers[int]()
    remove_first = subscribers.add(lambda number: called.append(("first", number)))
    subscribers.add(lambda number: called.append(("second", number)))
    subscribers.call(1)
    remove_first()
    remove_first()
    subscribers.call(2)
    assert called == [("first", 1), ("second", 1), ("second", 2)]
    assert len(subscribers) == 1


def test_a_function_added_twice_is_called_twice_and_removed_once() -> None:
    called: list[int] = []
    subscribers = Subscribers[int]()
    remove = subscribers.add(called.append)
    subscribers.add(called.append)
    remove()
    subscribers.call(1)
    assert called == [1]
    assert len(subscribers) == 1


def test_a_function_removed_during_a_call_is_still_called_in_that_call() -> None:
    called: list[int] = []
    subscribers = Subscribers[int]()
    subscribers.add(lambda _number: remove())
    remove = subscribers.add(called.append)
    subscribers.call(1)
    subscribers.call(2)
    assert called == [1]
