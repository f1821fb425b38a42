"""A journal with the sound levels up to midnight, which the meter measures in days of synthesized street noise.

Conventions: mono noise at 8 kHz in blocks of a second. The level follows the traffic of a day, single vehicles pass,
and the input is off from 13:00 to 13:45. The seed is fixed, so that equal code gives an equal picture.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from soundwatch.daemon.config.level import LevelConfig
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.time.clock import SampleClock
from soundwatch.daemon.core.time.system_zone import SYSTEM_ZONE
from soundwatch.daemon.diagnostics.benchmark import error_logger
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.journal.entry import RetentionLimits
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.level.tap import LevelMeter
from soundwatch.daemon.level.watch import LevelWatch

RATE_HZ: Final = 8000
OFFSET_DB: Final = 110.0
OFF_HOURS: Final = (13.0, 13.75)
VEHICLES_A_MINUTE: Final = 2.0


def write_level_days(path: Path, node: str, source: str, days: int) -> None:
    """Write the journal of a node with one calibrated source."""
    today = datetime.now(SYSTEM_ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    start_unix_ns = int((today - timedelta(days=days)).timestamp()) * 1_000_000_000
    contract = load_classifier_file("urban", "cpu").contract
    encoder = LineEncoder(
        node, SourceInfo(source, "synthesized", RATE_HZ, 1), start_unix_ns, contract, "", {}, SampleClock()
    )
    journal = Journal(JournalStore(path), RetentionLimits(1e9, 10**9), node, error_logger())
    config = LevelConfig(enabled=True)
    meter = LevelMeter(
        lambda _, contract: LevelWatch(config, (), contract.features.rate_hz),
        lambda _: OFFSET_DB,
        lambda: SYSTEM_ZONE,
        lambda _: None,
        journal.append,
        error_logger(),
    )
    random = np.random.default_rng(1)
    passing_db = 0.0
    for second in range(86_400 * days):
        hour = second / 3600 % 24
        traffic = max(0.0, math.sin(math.pi * (hour - 4.5) / 19.5)) ** 0.6 if hour > 4.5 else 0.0
        if random.random() < VEHICLES_A_MINUTE / 60 * (0.1 + traffic):
            passing_db = random.uniform(8, 22)
        level_db = -72 + 20 * traffic + passing_db
        passing_db *= 0.8
        samples = (10 ** (level_db / 20) * random.standard_normal((1, RATE_HZ), np.float32)).astype(np.float32)
        if not OFF_HOURS[0] <= hour < OFF_HOURS[1]:
            meter.add_block(source, encoder, Block(samples, RATE_HZ, second * RATE_HZ))
    meter.add_block(source, encoder, None)
    journal.close()
