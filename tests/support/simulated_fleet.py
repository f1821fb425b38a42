"""A thousand simulated nodes without sources, in one process: each has its own connection, a journal, and the answers
to a fleet's requests.

They do what `sinks/mqtt/sink.py` and `sinks/mqtt/fleet.py` do, over `aiomqtt` in one loop, since a thousand real
daemons need more than one machine. Lines are of the real form and length.

Conventions: a line's `time` is the time of its creation, so that the receiver can compute the latency.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from random import Random

import aiomqtt

from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.sinks.mqtt.fleet import MAX_LINES
from support.fleet_harness import keys_of

REPORT_S = 30.0
CONNECTING_S = 0.01  # between one machine's first connection and the next's
RETRY_S = 1.0
AT_ONCE = 20  # messages on their way to the broker, as `paho` has them
MORE = {
    "class_id": 8,
    "peak_score": 0.98,
    "onset": "2026-11-22T08:15:02.418Z",
    "offset": None,
    "duration_s": None,
    "reason": None,
    "latency_ms": 1720,
    "model": "urban@sha256:0214979fdef8",
    "provider": "CPUExecutionProvider",
}


@dataclass(frozen=True, slots=True)
class Phase:
    """A period in which all nodes have an event.

    Attributes:
        seconds: How long it lasts; 0 for as long as it takes.
        lines: How many lines each machine writes in it.
    """

    seconds: float
    lines: int


@dataclass(slots=True)
class Machine:
    """One of them.

    Attributes:
        number: Which.
        port: Of the broker.
        lines: Its journal.
        attempted: How many of its lines were given to the broker.
        sent: How many the broker has taken.
        repeats: How many were marked as repeated.
    """

    number: int
    port: int
    lines: list[bytes] = field(default_factory=list)
    attempted: int = 0
    sent: int = 0
    repeats: int = 0
    connected: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def base(self) -> str:
        """Common prefix of the topics."""
        return f"soundwatch/node{self.number:04}"

    @property
    def journal(self) -> str:
        """Its journal's identity."""
        return f"{self.number:016x}"

    def hear(self) -> None:
        """Write a line, by turns of an event that starts and one that ends."""
        seq = len(self.lines) + 1
        type_ = "start" if seq % 2 else "end"
        keys = keys_of(seq, self.base[11:], type=type_, id=f"{self.number:04}-{(seq + 1) // 2}", **MORE)
        self.lines.append(json.dumps(keys | {"time": format_utc(time.time_ns())}).encode())
        self.news.set()

    async def run(self) -> None:
        """Be connected, and again whenever that is lost."""
        await asyncio.sleep(self.number * CONNECTING_S)
        while True:
            try:
                await self._serve()
            except* (aiomqtt.MqttError, OSError):
                pass
            self.connected = False
            await asyncio.sleep(RETRY_S)

    async def _serve(self) -> None:
        will = aiomqtt.Will(f"{self.base}/status", b"offline", 1, True)
        async with aiomqtt.Client(
            "127.0.0.1",
            self.port,
            identifier=self.base.replace("/", "-"),
            protocol=aiomqtt.ProtocolVersion.V5,
            will=will,
            timeout=60,
        ) as client:
            await client.subscribe(f"{self.base}/resend", 1)
            await client.publish(f"{self.base}/status", b"online", 1, True)
            self.connected = True
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._answer(client))
                tasks.create_task(self._report(client))
                tasks.create_task(self._send(client))

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            self.news.clear()
            while self.sent < len(self.lines):
                last = min(self.sent + AT_ONCE, len(self.lines))
                before, self.attempted = self.attempted, max(self.attempted, last)
                await asyncio.gather(
                    *(self._publish(client, place, repeated=place < before) for place in range(self.sent, last))
                )
                self.sent = last
            await self.news.wait()

    async def _publish(self, client: aiomqtt.Client, place: int, *, repeated: bool) -> None:
        self.repeats += repeated
        line = self.lines[place]
        await client.publish(
            f"{self.base}/lines/{self.journal}", line[:-1] + b',"repeated":true}' if repeated else line, 1
        )

    async def _answer(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            asked = json.loads(bytes(message.payload))
            last = min(asked["up_to"], asked["after"] + MAX_LINES, len(self.lines))
            for first in range(asked["after"], last, AT_ONCE):
                some = range(first, min(first + AT_ONCE, last))
                await asyncio.gather(*(self._publish(client, place, repeated=True) for place in some))
            more = last == asked["after"] + MAX_LINES
            runs = [[asked["after"] + 1, last]] if last > asked["after"] else []
            done = asked | {"up_to": last if more else asked["up_to"], "runs": runs}
            await client.publish(f"{self.base}/resend/done", json.dumps(done).encode(), 1)

    async def _report(self, client: aiomqtt.Client) -> None:
        await asyncio.sleep(Random(self.number).uniform(0, REPORT_S))  # noqa: S311  # no secret
        while True:
            report = {
                "schema": "soundwatch.report/1",
                "time": format_utc(time.time_ns()),
                "node": self.base[11:],
                "journal": self.journal,
                "last_seq": len(self.lines),
                "sent_seq": self.sent or None,
                "version": "0.1.0",
                "model": "urban@sha256:0214979fdef8",
                "provider": "CPUExecutionProvider",
                "report_s": REPORT_S,
                "sources": {"mic0": {"hearing": "heard", "coverage": 1.0}},
            }
            await client.publish(f"{self.base}/report", json.dumps(report).encode(), 1, True)
            await asyncio.sleep(REPORT_S)


def run_machines(port: int, count: int, phases: Sequence[Phase], orders: Connection) -> None:
    """Run the process: each word on `orders` starts the next phase, `end` ends it; it responds with its counts."""
    logging.getLogger("mqtt").setLevel(logging.CRITICAL)  # it warns of more than ten messages on their way
    asyncio.run(_run(port, count, phases, orders))


async def _run(port: int, count: int, phases: Sequence[Phase], orders: Connection) -> None:
    machines = [Machine(number, port) for number in range(1, count + 1)]
    running = [asyncio.create_task(machine.run()) for machine in machines]
    while not all(machine.connected for machine in machines):
        await asyncio.sleep(0.05)
    orders.send("connected")
    for phase in phases:
        await asyncio.to_thread(orders.recv)
        began_s = time.monotonic()
        await asyncio.gather(*(_hear(machine, phase, count) for machine in machines))
        while any(machine.sent < len(machine.lines) for machine in machines):
            await asyncio.sleep(0.01)
        orders.send({"lines": sum(len(machine.lines) for machine in machines), "seconds": time.monotonic() - began_s})
    for task in running:
        if task.done():
            task.result()
    await asyncio.to_thread(orders.recv)
    orders.send({"repeats": sum(machine.repeats for machine in machines)})
    for task in running:
        task.cancel()


async def _hear(machine: Machine, phase: Phase, count: int) -> None:
    pause_s = phase.seconds / phase.lines
    await asyncio.sleep(pause_s * machine.number / count)
    for _ in range(phase.lines):
        machine.hear()
        await asyncio.sleep(pause_s)
