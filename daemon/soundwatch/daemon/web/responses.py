"""What is shown of sources, sinks, model and machine, put together from the board and the last readings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.core.types import WindowResult
from soundwatch.daemon.events.encoder import scores_line
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import MEMORY
from soundwatch.daemon.status.snapshot import SourceStatus
from soundwatch.daemon.web.context import WebContext
from soundwatch.daemon.web.schemas import (
    ClassesResponse,
    ClassResponse,
    HealthResponse,
    JournalResponse,
    ModelResponse,
    OverloadResponse,
    ReadingResponse,
    SinkResponse,
    SinksResponse,
    SourceResponse,
    SourcesResponse,
)


def sources(view: WebContext) -> SourcesResponse:
    """All sources."""
    latest = view.sink_context.live.latest
    board = view.sink_context.board()
    return SourcesResponse(sources=tuple(_source(name, each, latest.get(name)) for name, each in board.sources.items()))


def _source(name: str, board: SourceStatus, reading: WindowResult | None) -> SourceResponse:
    hello = board.hello
    return SourceResponse(
        name=name,
        hearing=board.hearing,
        since=board.since or None,
        detail=board.detail,
        description=hello.description if hello else None,
        rate_hz=hello.source_rate_hz if hello else None,
        channels=hello.source_channels if hello else None,
        stream_start=hello.stream_start if hello else None,
        faults=board.faults,
        active=tuple(event.id for event in board.active),
        events=dict(board.events),
        gaps=board.gaps,
        last=None if reading is None else _last(reading),
    )


def _last(reading: WindowResult) -> ReadingResponse:
    line = scores_line(reading, "")
    return ReadingResponse(
        time=line.time,
        level_dbfs=line.level_dbfs,
        scores=line.scores,
        windows=reading.windows,
        delay_ms=round(reading.delay_ns / 1e6, 1),
        heard_s=round(reading.heard_s, 3),
        lost_s=round(reading.lost_s, 3),
        coverage=coverage(reading),
    )


def coverage(reading: WindowResult) -> float | None:
    """Share of a stream so far that was heard."""
    all_s = reading.heard_s + reading.lost_s
    return round(max(0.0, reading.heard_s) / all_s, 6) if all_s > 0 else None


def classes(view: WebContext) -> ClassesResponse:
    """The model's classes."""
    return ClassesResponse(
        classes=tuple(ClassResponse(name=label, threshold=view.thresholds.get(label)) for label in view.contract.labels)
    )


def sinks(view: WebContext) -> SinksResponse:
    """All sinks."""
    return SinksResponse(
        sinks=tuple(
            SinkResponse(
                name=state.name,
                state=state.state,
                reason=state.reason,
                since=format_utc(state.since_unix_ns),
                behind_lines=behind_lines,
                lost_lines=state.lost_lines,
            )
            for state, behind_lines in view.sinks()
        )
    )


def model(view: WebContext) -> ModelResponse:
    """The model."""
    return ModelResponse(
        identity=view.contract.identity,
        provider=view.provider,
        contract=msgspec.to_builtins(view.contract),
        card=view.card,
    )


def health(view: WebContext) -> HealthResponse:
    """How all goes."""
    problems = tuple(_problems(view))
    overload = view.sink_context.board().overload
    journal = view.journal
    return HealthResponse(
        state="poor" if problems else "good",
        problems=problems,
        node=view.sink_context.node,
        version=__version__,
        model=view.contract.identity,
        provider=view.provider,
        started=format_utc(view.started_unix_ns),
        uptime_s=max(0, time.time_ns() - view.started_unix_ns) // 1_000_000_000,
        token_wanted=view.token_wanted,
        last_seq=journal.last_seq,
        journal=JournalResponse(state=_journal_state(journal), dropped_lines=journal.dropped_lines),
        overload=None
        if overload is None
        else OverloadResponse(
            state=overload.state,
            hop_s=overload.hop_s,
            behind_ms=overload.behind_ms,
            dropped_windows=overload.dropped_windows,
        ),
    )


def _journal_state(journal: Journal) -> Literal["working", "failing", "memory"]:
    if journal.failing:
        return "failing"
    return "memory" if journal.store.path == MEMORY else "working"


def _problems(view: WebContext) -> Iterator[str]:
    board = view.sink_context.board()
    for name, source in board.sources.items():
        if source.hearing in ("waiting", "lost", "ended"):
            yield f"{name} is not heard: {source.detail or source.hearing}"
        if source.faults:
            yield f"The sound of {name} is poor: {', '.join(source.faults).replace('_', ' ')}."
    if board.overload is not None and board.overload.state == "degraded":
        yield "The machine cannot keep up with its sources: fewer windows are classified."
    if view.journal.failing:
        yield "The journal cannot be written; lines are kept in memory until it can."
    for state, _ in view.sinks():
        if state.state != "working":
            yield f"{state.name} is {state.state}{f': {state.reason}' if state.reason else '.'}"
