"""State of the daemon that the web server reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.inference.classifier import model_path
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.context import SinkContext
from soundwatch.daemon.sinks.protocols import SinkStatus


@dataclass(frozen=True, slots=True)
class WebContext:
    """State that the page, the API and the metrics show.

    Attributes:
        sink_context: Services that every sink has.
        config: Returns the configuration in force; a reload replaces it.
        context: Returns the dependencies that all sources share.
        journal: Journal that lines are read from.
        sinks: Returns the status of each sink and the number of lines that it has yet to write.
        clips: Folder of the clips; None if no clips are recorded.
        token_wanted: Clients need a token.
        started_unix_ns: Start time of the program.
    """

    sink_context: SinkContext
    config: Callable[[], Config]
    context: Callable[[], EngineContext]
    journal: Journal
    sinks: Callable[[], list[tuple[SinkStatus, int]]]
    clips: Path | None = None
    token_wanted: bool = False
    started_unix_ns: int = field(default_factory=time.time_ns)

    @property
    def contract(self) -> ModelContract:
        """Contract of the model in use."""
        return self.context().classifier.contract

    @property
    def provider(self) -> str:
        """Execution provider of the model."""
        return self.context().classifier.provider

    @property
    def thresholds(self) -> dict[str, float]:
        """Thresholds in force, for each enabled class."""
        return self.context().thresholds

    @property
    def card(self) -> str | None:
        """Model card: the Markdown file next to the model file; None if there is none."""
        name = self.config().model.file
        file = Path(name)
        if not file.suffix:
            file = model_path(name)
        try:
            return file.with_suffix(".md").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
