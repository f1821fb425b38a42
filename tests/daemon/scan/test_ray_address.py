"""Addresses of Ray clusters."""

from __future__ import annotations

import re
import socket

import pytest

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.scan.ray_pool import check_reachable


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_an_address_without_a_server_is_refused_before_ray_tries_it_for_minutes(form: str) -> None:
    with socket.socket() as bound:  # no listener, so a connection is refused
        bound.bind(("127.0.0.1", 0))
        address = form.format(bound.getsockname()[1])
        with pytest.raises(ConfigError, match=re.escape(f"There is no Ray cluster at {address}: Connection refused")):
            check_reachable(address)
        bound.listen()
        check_reachable(address)


@pytest.mark.parametrize("address", ["host:99999999999", "127.0.0.1:65536"])
def test_a_port_that_no_host_has_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="There is no Ray cluster at"):
        check_reachable(address)


@pytest.mark.parametrize("address", ["auto", "local", "127.0.0.1:"])
def test_other_forms_are_left_to_ray(address: str) -> None:
    check_reachable(address)
