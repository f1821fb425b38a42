"""The server on a journal in memory, with nothing that listens behind it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.config.rules import RuleConfig, WhenConfig
from soundwatch.daemon.core.records.block import read_only
from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.detection.effective import resolve_source
from soundwatch.daemon.events.health_schema import SourceHealthLine
from soundwatch.daemon.events.schema import ClipLine, EventLine, Line
from soundwatch.daemon.journal.entry import RetentionLimits
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.daemon_view import ActiveModel, DaemonView
from soundwatch.daemon.sinks.kinds import parse_sink
from soundwatch.daemon.sinks.protocols import RuleStatus, RuleTargetStatus, SinkStatus, TargetCounts
from soundwatch.daemon.status.live import LiveFeed
from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.web.server import serve
from support.fakes import SMALL_CONTRACT, SMALL_SPEC
from support.memory_logger import MemoryLogger
from support.noon_zone import NOON_ZONE

NODE = "balcony"
TOKEN = "a-token-of-twenty-four-l"  # noqa: S105
DEFAULTS = Config()
NOON_PLACE = PlaceConfig(time_zone=NOON_ZONE)
IDS = tuple(f"01JD8Z{number:020d}" for number in range(1000))


@dataclass
class Site:
    """A running server with its context.

    Attributes:
        view: What it can see.
        url: Where it is.
        notice: What reads the lines for the board.
        switched: What was paused and resumed.
        log: The log.
    """

    view: DaemonView
    notice: StatusTracker
    url: str = ""
    switched: list[tuple[str, bool]] = field(default_factory=list)
    log: MemoryLogger = field(default_factory=MemoryLogger)

    @property
    def journal(self) -> Journal:
        return self.view.journal

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    @property
    def websocket_url(self) -> str:
        """Address of the stream over a WebSocket."""
        return f"{self.url.replace('http', 'ws', 1)}/api/ws"

    def client(self, **options: Any) -> httpx.Client:
        defaults: dict[str, Any] = {"base_url": self.url, "timeout": 60, "trust_env": False, "verify": False}
        return httpx.Client(**defaults | options)  # without certificates, which take long to load

    def get(self, path: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.get(path, **options)

    def append(self, *lines: Line) -> None:
        """Append lines to the journal with new numbers, and wait until readers can get them."""
        for line in lines:
            self.journal.append(line)
        self.journal.flush()

    def raw(self, text: bytes, seconds: float = 60.0) -> bytes:
        """Send raw bytes, and return the response up to the end of the connection."""
        with socket.create_connection(self.address, timeout=seconds) as client:
            client.sendall(text)
            answer = b""
            while part := client.recv(65_536):
                answer += part
        return answer


RULES = (
    RuleStatus(
        "siren_at_night",
        enabled=True,
        config=msgspec.convert(
            {
                "when": {"classes": ["siren"], "during": [{"from": "sunset", "to": "sunrise"}]},
                "then": {"clip": "attach"},
            },
            RuleConfig,
        ),
        decided=12,
        held={"not_when.cooldown_s": 3, "then.limit": 1},
        last_decided_unix_ns=1_795_000_000_000_000_000,
        waiting=1,
        targets=(
            RuleTargetStatus(
                SinkStatus("rule:siren_at_night:apprise:ntfys#1a2b3c"),
                0,
                TargetCounts(sent=10, late=2, refused=1, last_sent_unix_ns=1_795_000_001 * 10**9),
            ),
            RuleTargetStatus(SinkStatus("rule:siren_at_night:webhook:a.example#4d5e6f", "failing", "no route"), 40),
        ),
    ),
    RuleStatus("dogs", False, RuleConfig(when=WhenConfig(classes=("dog_bark",))), 0, {}, None, 0, ()),
)


@contextmanager
def a_site(
    word: str = "http://127.0.0.1:0",
    sinks: list[tuple[SinkStatus, int]] | None = None,
    config: Config = DEFAULTS,
    rules: Sequence[RuleStatus] = (),
) -> Iterator[Site]:
    """A running server, at a place where it is about noon unless the configuration has another one."""
    if config.place == PlaceConfig():
        config = msgspec.structs.replace(config, place=NOON_PLACE)
    notice = StatusTracker(("mic0", "yard"))
    journal = Journal(JournalStore(MEMORY), RetentionLimits(1e9, 10**9), NODE, MemoryLogger(), notice.apply)
    switched: list[tuple[str, bool]] = []
    log = MemoryLogger()
    view = DaemonView(
        node=NODE,
        log=log,
        journal=journal,
        status=notice,
        live=LiveFeed(),
        config=lambda: config,
        model=lambda: ActiveModel(SMALL_CONTRACT, "DoubleProvider", {"low": 0.5}),
        set_listening=lambda source, *, listen: switched.append((source, listen)),
        settings=lambda: {name: resolve_source(config, name, SMALL_CONTRACT, {}) for name in ("mic0", "yard")},
        sinks=lambda: sinks or [],
        rules=lambda: rules,
        uncalibrated=lambda: {"yard": "soundwatch calibrate --background 3600 --source yard"},
    )
    site = Site(view, notice, switched=switched, log=log)
    try:
        with serve(parse_sink(word), view) as site.url:
            yield site
    finally:
        journal.close()


def event_line(number: int, type_: Any = "start", **changes: Any) -> EventLine:
    """A line of event `number`, which began at so many seconds past eight."""
    onset = f"2026-11-22T08:{number // 60 % 60:02d}:{number % 60:02d}.000Z"
    ended = type_ == "end"
    line = EventLine(
        type=type_,
        seq=0,
        id=IDS[number],
        time=onset,
        node=NODE,
        source="mic0",
        class_="low",
        class_id=0,
        score=0.8,
        peak_score=0.9,
        level_dbfs=-30.0,
        onset=onset,
        offset=onset if ended else None,
        duration_s=0.0 if ended else None,
        reason="decay" if ended else None,
        latency_ms=1000,
        model=SMALL_CONTRACT.identity,
        provider="DoubleProvider",
    )
    return msgspec.structs.replace(line, **changes)


def today(number: int, type_: str = "start", **changes: Any) -> Any:
    """Return an event of the present time, so that today's list contains it."""
    now = datetime.now(UTC) - timedelta(seconds=60 - number)
    text = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    offset = {"offset": text, "duration_s": 1.5} if type_ == "end" else {}
    return event_line(number, type_, **({"time": text, "onset": text} | offset | changes))


def clip_line(number: int, file: str | None = "a.flac", reason: Any = None, **changes: Any) -> ClipLine:
    """A line of the clip of event `number`, or of the reason why there is none."""
    line = ClipLine(
        seq=0, time="2026-11-22T08:01:00.000Z", node="balcony", source="mic0", id=IDS[number], class_="low", file=file,
        path=None, reason=reason, start="2026-11-22T08:00:00.000Z", duration_s=2.0, lost_s=0.0, bytes=None,
        rate_hz=16_000, channels=1,
    )  # fmt: skip
    return msgspec.structs.replace(line, **changes)


def lost_line(source: str = "mic0") -> SourceHealthLine:
    """A line that a source is lost."""
    return SourceHealthLine(
        seq=0, time="2026-11-22T08:00:00.000Z", node=NODE, source=source, state="lost", reason="ended",
        detail=f"{source} was unplugged.", away_s=0.0, missed_s=0.0,
    )  # fmt: skip


def reading(number: int = 1, source: str = "mic0", *, features_wanted: bool = False, **changes: Any) -> WindowResult:
    """A source's window `number`."""
    first_sample = number * SMALL_SPEC.window_hop_samples
    mel_db = np.full(SMALL_SPEC.input_shape, -40.0, np.float32)
    mel_db[:, :, -1] = 0.0  # the window's last frame
    features = Features(read_only(mel_db), first_sample, first_sample + SMALL_SPEC.window_samples, True)
    values: dict[str, Any] = {
        "source": source,
        "end_unix_ns": 1_795_334_400_000_000_000 + number * 100_000_000,
        "labels": SMALL_CONTRACT.labels,
        "values": read_only(np.array([0.75, 0.25], np.float32)),
        "level_dbfs": -30.04,
        "delay_ns": 20_000_000,
        "windows": number,
        "processed_s": 9.0,
        "lost_s": 1.0,
        "features": features if features_wanted else None,
    }
    return WindowResult(**(values | changes))


def wait_until(is_so: Any, seconds: float = 60.0) -> None:
    """Wait for what another thread does."""
    until_s = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.01)


def write_token(folder: Path, token: str) -> Path:
    """A token's file."""
    path = folder / "token"
    path.write_text(f"{token}\n")
    return path
