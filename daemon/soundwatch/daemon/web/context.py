"""What the server can see of the program."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.context import SinkContext
from soundwatch.daemon.sinks.dispatcher import SinkStatus


@dataclass(frozen=True, slots=True)
class WebContext:
    """All that the page, the API and the metrics show.

    Attributes:
        sink_context: As every sink has them.
        config: In force; a reload exchanges it.
        context: What all sources share now.
        journal: Where lines are read.
        sinks: How each sink does, and how many lines it is behind.
        clips: The folder that sound is kept in; None where none is.
        token_wanted: Whether visitors have to know a token.
        started_unix_ns: When the program began.
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
        """Of the model that listens."""
        return self.context().classifier.contract

    @property
    def provider(self) -> str:
        """What runs it."""
        return self.context().classifier.provider

    @property
    def thresholds(self) -> dict[str, float]:
        """In force, per class that is listened for."""
        return self.context().thresholds

    @property
    def card(self) -> str | None:
        """The model's card: the text beside its file, if there is one."""
        name = self.config().model.file
        file = Path(name)
        if not file.suffix:
            file = Path(__file__).parents[1] / "models" / f"{name}.onnx"
        try:
            return file.with_suffix(".md").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None
