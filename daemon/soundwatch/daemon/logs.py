"""The diary on standard error: pretty on a terminal, JSON elsewhere.

Conventions: an entry is a sentence in small letters and fields with units in their names.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from soundwatch.daemon.config import LogConfig


def open_log(config: LogConfig) -> Any:
    """A logger with `debug`, `info`, `warning` and `error`, each taking a sentence and fields."""
    pretty = config.format == "pretty" or (config.format == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
        if pretty
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[config.level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger()
