"""Requests to read the configuration again, and their timeouts."""

from __future__ import annotations

import pytest

from soundwatch.daemon.app.reload_requests import ReloadRequests, begin, refuse
from soundwatch.daemon.config.change import ConfigBusyError
from soundwatch.daemon.core.errors import ConfigError


def test_a_request_that_was_given_up_is_never_applied() -> None:
    requests = ReloadRequests()
    with pytest.raises(ConfigError, match=r"did not begin within 0 s"):
        requests.wait(0)
    given_up = next(iter(requests))
    assert not begin(given_up)


def test_a_request_that_was_given_up_can_still_be_refused() -> None:
    requests = ReloadRequests()
    with pytest.raises(ConfigError, match="did not begin"):
        requests.wait(0)
    refuse(next(iter(requests)), "The microphone is gone.")


def test_a_request_that_is_being_applied_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = ReloadRequests()
    add = requests.add

    def add_and_begin() -> object:
        request = add()
        assert begin(request)
        return request

    monkeypatch.setattr(requests, "add", add_and_begin)
    with pytest.raises(ConfigBusyError, match="written and is still being applied; see the log"):
        requests.wait(0)


@pytest.mark.parametrize("begun", [True, False])
def test_a_refusal_reaches_the_change(begun: bool) -> None:
    requests = ReloadRequests()
    request = requests.add()
    if begun:
        assert begin(request)
    refuse(request, "The microphone is gone.")
    with pytest.raises(ConfigError, match="The microphone is gone"):
        request.result(0)


def test_requests_after_the_end_are_cancelled() -> None:
    requests = ReloadRequests()
    first = requests.add()
    requests.end()
    late = requests.add()
    assert list(requests) == [first]
    assert late.cancelled()
    with pytest.raises(ConfigError, match="The program ends"):
        requests.wait()
