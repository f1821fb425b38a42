"""Datagrams over UDP: order, loss, addresses, multicast groups."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from soundwatch.daemon.capture.streams import network
from soundwatch.daemon.capture.streams.network import NetworkSource
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.records.block import Block
from support.network_sources import SOUND, connect, joined
from support.ports import free_port

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders and no poll")


BLOCK_NS = 100_000_000


class Sender:
    """Sends datagrams of 100 ms to a source, each after the previous one was read, with its own clock.

    Args:
        patch: Sets the clock.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        self.place = ("127.0.0.1", free_port())
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        patch.setattr(network, "monotonic_ns", lambda: self.now_ns)

    def send_to(self, source: NetworkSource, datagrams: list[bytes | None]) -> list[Block]:
        """Return the blocks of these datagrams; None is a lost datagram."""
        received: list[Block] = []
        waiting = iter(datagrams)
        self._send(waiting)
        for block in source.blocks():
            received.append(block)
            if not self._send(waiting):
                source.stop()
        return received

    def _send(self, waiting: Iterator[bytes | None]) -> bool:
        for data in waiting:
            self.now_ns += BLOCK_NS
            if data is not None:
                self.socket.sendto(data, self.place)
                return True
        return False


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    found = Sender(monkeypatch)
    yield found
    found.socket.close()


def test_datagrams_are_read_in_order_of_arrival(sender: Sender) -> None:
    source = connect(f"pcm+udp://127.0.0.1:{sender.place[1]}")
    pieces = [SOUND[:, first : first + 800].tobytes() for first in range(0, SOUND.shape[1], 800)]
    blocks = sender.send_to(source, [pieces[0], pieces[1] + b"\0", *pieces[2:]])  # half a sample spoils no later one
    np.testing.assert_array_equal(joined(blocks), SOUND.astype(np.float32) / 2**15)
    assert {block.lost_samples for block in blocks} == {0}


def test_an_empty_datagram_is_not_the_end(sender: Sender) -> None:
    source = connect(f"pcm+udp://127.0.0.1:{sender.place[1]}")
    sender.socket.sendto(b"", sender.place)
    assert len(sender.send_to(source, [bytes(1600), bytes(1600)])) == 2


@pytest.mark.parametrize("lost_datagrams", [4, 20])
def test_datagrams_that_are_lost_are_missed_by_the_clock(sender: Sender, lost_datagrams: int) -> None:
    source = connect(f"pcm+udp://127.0.0.1:{sender.place[1]}")
    data = bytes(1600)
    blocks = sender.send_to(source, [data] * 50 + [None] * lost_datagrams + [data] * 60)
    assert sum(block.lost_samples for block in blocks) == pytest.approx(800 * lost_datagrams, abs=80)
    assert blocks[-1].first_sample == pytest.approx(800 * (109 + lost_datagrams), abs=80)


def test_short_losses_are_detected_when_their_sum_is_large_enough(sender: Sender) -> None:
    source = connect(f"pcm+udp://127.0.0.1:{sender.place[1]}")
    data = bytes(1600)
    every_fiftieth: list[bytes | None] = [None if number % 50 == 49 else data for number in range(1500)]
    blocks = sender.send_to(source, every_fiftieth)
    assert sum(block.lost_samples for block in blocks) == pytest.approx(800 * 30, abs=2500)


def test_an_address_in_use_is_refused(sender: Sender) -> None:
    address = f"pcm+udp://127.0.0.1:{sender.place[1]}"
    first = connect(address)
    with pytest.raises(SourceError, match="cannot be received: Address already in use"):
        connect(address)
    first.stop()
    assert list(first.blocks()) == []


def send_to_group(place: tuple[str, int], stop: threading.Event) -> None:
    """Send blocks to a multicast group over loopback until stopped."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        while not stop.wait(0.02):
            sender.sendto(SOUND.tobytes()[:1600], place)


@pytest.mark.parametrize("interface", ["", "?interface=127.0.0.1"])
def test_a_multicast_group_is_joined_by_two_sources_of_one_address(interface: str) -> None:
    place = ("239.255.41.7", free_port())
    address = f"pcm+udp://{place[0]}:{place[1]}{interface}"
    sources = [connect(address), connect(address)]
    stop = threading.Event()
    sender = threading.Thread(target=send_to_group, args=(place, stop))
    sender.start()
    try:
        for source in sources:
            block = next(iter(source.blocks()))
            np.testing.assert_allclose(block.samples[0], SOUND[0, :800] / 2**15, atol=1e-4)
            source.stop()
    finally:
        stop.set()
        sender.join(10)


def test_an_ipv6_group_is_joined_on_its_interface() -> None:
    port = free_port()
    index = socket.if_nametoindex("lo")
    source = connect(f"pcm+udp://[ff01::4242]:{port}?interface=lo")
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            try:
                sender.sendto(SOUND.tobytes()[:1600], ("ff01::4242", port, 0, index))
            except OSError as error:
                source.stop()
                list(source.blocks())
                pytest.skip(f"this machine sends no IPv6 multicast: {error}")
        assert next(iter(source.blocks())).samples.shape == (1, 800)
    finally:
        source.stop()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("pcm+udp://239.255.41.7:{port}?interface=203.0.113.9", "cannot be received"),
        ("pcm+udp://127.0.0.1:{port}?interface=127.0.0.1", "which only a multicast address needs"),
    ],
)
def test_an_interface_that_cannot_be_used_is_refused(address: str, message: str) -> None:
    with pytest.raises((SourceError, ConfigError), match=message):
        connect(address.format(port=free_port()))
