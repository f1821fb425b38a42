"""What is kept of a place and where it goes, found in the configuration and in the files that are really there.

Conventions: a destination's reach is `machine` where nothing but this machine can have it, `house` where its address is
one of a private network, `outside` where it is any other, and `unknown` where no address says. No name is looked up and
no connection opened: a name with a dot counts as outside, unless it ends as names at home do.
Does not: start the daemon, or know what a reader at home does with what it gets.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.capture import source_kind
from soundwatch.daemon.core.clock import format_datetime
from soundwatch.daemon.core.config import ClipsConfig, Config, JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.core.loopback import is_loopback, parse_ip
from soundwatch.daemon.diagnostics.earlier_clips import earlier_clips
from soundwatch.daemon.diagnostics.library_reporting import LibraryReporting, library_reporting
from soundwatch.daemon.journal.events import journal_totals
from soundwatch.daemon.journal.location import journal_path
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.context import SinkSpec
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS, parse_sink, sink_url
from soundwatch.daemon.web.settings import parse_settings

NetworkReach = Literal["machine", "house", "outside", "unknown"]
_AT_HOME: Final = (".local", ".lan", ".home", ".internal", ".home.arpa", ".localdomain", ".fritz.box")


class JournalAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The events that are kept; no sound is among them.

    Attributes:
        path: The file; null where they are in memory only.
        mode: Who may read it, as `ls` counts; null where there is no file.
        oldest: Time of the first line.
        labels: What people said of events.
        problem: Why nothing can be said of it.
    """

    path: str | None
    mode: str | None = None
    lines: int = 0
    oldest: str | None = None
    size_bytes: int = 0
    labels: int = 0
    max_age_days: float
    max_bytes: int
    problem: str | None = None


class ClipsAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The sound that is kept.

    Attributes:
        folder: Where new clips go; null where no sound is written.
        others: Other files in that folder.
        earlier: Folders with clips of earlier runs, by the journal, and the number of their clips.
        speech_guard: What refuses clips with speech: `speech`, a model's path, or null for nothing.
    """

    folder: str | None
    mode: str | None = None
    clips: int = 0
    size_bytes: int = 0
    oldest: str | None = None
    others: int = 0
    earlier: dict[str, int] = {}
    speech_guard: str | None = None
    max_age_days: float
    max_bytes: int
    best_per_class: int
    problem: str | None = None


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """Where lines go, or can be fetched from."""

    sink: str
    reach: NetworkReach
    says: str


class NetworkSourceAudit(msgspec.Struct, frozen=True, kw_only=True):
    """A source whose sound comes over a network: whoever is between hears it too, unless it is encrypted."""

    source: str
    address: str
    reach: NetworkReach
    encrypted: bool


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        reporting: Usage reporting that the user's environment leaves on; empty unless they asked for it.
        leaves_house: Whether anything does, or may.
    """

    journal: JournalAudit
    clips: ClipsAudit
    destinations: tuple[Destination, ...]
    network_sources: tuple[NetworkSourceAudit, ...]
    reporting: tuple[LibraryReporting, ...] = ()
    log: str = "standard error; what starts the program decides where that goes"
    leaves_house: bool = False


def audit(config: Config) -> Audit:
    """Look at everything that this configuration keeps and sends.

    Raises:
        ConfigError: A sink is invalid, or `run` would refuse its address.
    """
    specs = [parse_sink(text) for text in config.sinks]
    for spec in specs:
        if spec.kind == "http":
            parse_settings(spec, "", os.environ)  # refused here as by `run`
    destinations = tuple(map(_destination, specs))
    network = tuple(
        NetworkSourceAudit(
            source=name, address=host, reach=network_reach(host), encrypted=encrypted(str(source.device))
        )
        for name, source in config.sources.items()
        if (encrypted := source_kind(source.device).encrypted) is not None
        for host in [urlsplit(str(source.device)).hostname or ""]
    )
    reporting = library_reporting(os.environ)
    clips = audit_clips(config.clips)
    return Audit(
        reporting=reporting,
        journal=audit_journal(config.journal),
        clips=msgspec.structs.replace(clips, earlier=earlier_clips(config.journal, clips.folder)),
        destinations=destinations,
        network_sources=network,
        leaves_house=bool(reporting) or any(each.reach in ("outside", "unknown") for each in destinations),
    )


def audit_journal(config: JournalConfig) -> JournalAudit:
    """The journal, as far as it can be read."""
    path = journal_path(config)
    if not isinstance(path, Path):
        return JournalAudit(path=None, max_age_days=config.max_age_days, max_bytes=config.max_bytes)
    found = JournalAudit(path=str(path), max_age_days=config.max_age_days, max_bytes=config.max_bytes)
    if not path.exists():
        return found
    sizes = [each.stat().st_size for each in (path, path.with_name(path.name + "-wal")) if each.exists()]
    found = msgspec.structs.replace(found, mode=_mode(path), size_bytes=sum(sizes))
    try:
        store = JournalStore(path, writing=False)
        totals = journal_totals(store)
        store.close()
    except (StoreError, sqlite3.Error) as error:
        return msgspec.structs.replace(found, problem=str(error))
    return msgspec.structs.replace(found, lines=totals.lines, oldest=totals.oldest, labels=totals.labels)


def audit_clips(config: ClipsConfig) -> ClipsAudit:
    """The clips, as far as their folder can be read."""
    from soundwatch.daemon.clips.clip_store import list_clips

    guard = {True: "speech", False: None}.get(config.speech_guard, str(config.speech_guard))  # type: ignore[arg-type]
    found = ClipsAudit(
        folder=None if config.folder is None else str(Path(config.folder).expanduser()),
        speech_guard=guard,
        max_age_days=config.max_age_days,
        max_bytes=config.max_bytes,
        best_per_class=config.best_per_class,
    )
    if found.folder is None or not Path(found.folder).exists():
        return found
    folder = Path(found.folder)
    try:
        kept, entries = list_clips(folder), len(list(folder.iterdir()))
    except OSError as error:
        return msgspec.structs.replace(found, mode=_mode(folder), problem=f"It cannot be read: {error.strerror}.")
    return msgspec.structs.replace(
        found,
        mode=_mode(folder),
        clips=len(kept),
        size_bytes=sum(each.size_bytes for each in kept),
        oldest=min((_time_of(each.stamp) for each in kept), default=None),
        others=entries - len(kept),
    )


def _destination(spec: SinkSpec) -> Destination:
    """A sink, by where its lines go."""
    kind = OUTPUT_KINDS[spec.kind]
    if kind.reach == "local":
        return Destination(sink=spec.text, reach="machine", says=kind.local(spec.target))
    if kind.reach == "program":
        return Destination(sink=spec.text, reach="unknown", says="a program, which may send them anywhere")
    url = sink_url(spec)
    host = (None if url is None else url.hostname) or ""
    shown = f"{spec.kind}://{host}"  # a path or a password may be what opens the door there
    reach = network_reach(host) if host else "unknown"
    if host in ("0.0.0.0", "::"):  # noqa: S104  # it is only compared
        return Destination(sink=shown, reach="house", says="every machine that reaches this one, and knows the token")
    told = {
        "machine": "this machine alone",
        "house": "a machine of a private network",
        "outside": "a machine outside of private networks, or one whose name does not tell",
        "unknown": "no address tells where",
    }
    return Destination(sink=shown, reach=reach, says=told[reach])


def network_reach(host: str) -> NetworkReach:
    """How far away a host is, by its address or name alone."""
    name = host.strip("[]").rstrip(".").lower()
    if is_loopback(name) or name.endswith(".localhost"):
        return "machine"
    address = parse_ip(name)
    if address is None:
        return "house" if "." not in name or name.endswith(_AT_HOME) else "outside"
    return "house" if address.is_private or address.is_link_local or address.is_unspecified else "outside"


def _mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def _time_of(stamp: str) -> str:
    """A clip's time as lines have it."""
    return format_datetime(datetime.strptime(stamp, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC))


def audit_text(found: Audit) -> Sequence[str]:
    """The same for people, a line each."""
    journal, clips = found.journal, found.clips
    told = ["Events"]
    if journal.path is None:
        told.append("  in memory only, until the program ends")
    else:
        told.append(f"  {journal.path}{_readable_by(journal.mode)}")
        told.append(f"  {journal.problem or _amount(journal.lines, 'line', journal.size_bytes, journal.oldest)}")
        told.append(f"  {_count(journal.labels, 'label')} of people; no sound")
    told.append(f"  kept for {journal.max_age_days:g} days, {_megabytes(journal.max_bytes)} at most")
    told.append("Sound")
    if clips.folder is None:
        told.append("  none is written with these options; a few seconds are in memory while they are scored")
    else:
        told.append(f"  {clips.folder}{_readable_by(clips.mode)}")
        told.append(f"  {clips.problem or _amount(clips.clips, 'clip', clips.size_bytes, clips.oldest)}")
        if clips.others:
            told.append(f"  and {_count(clips.others, 'file')} that soundwatch did not write, and never removes")
        guard = clips.speech_guard
        told.append(f"  speech guard: {guard}" if guard else "  no speech guard: clips may hold what people say")
        told.append(f"  kept for {clips.max_age_days:g} days, {_megabytes(clips.max_bytes)} at most")
    for place, count in clips.earlier.items():
        told.append(f"  {place}: {_count(count, 'clip')} of earlier runs")
    told.append("Where events go")
    told += [f"  {each.sink}: {each.says}" for each in found.destinations]
    for source in found.network_sources:
        how = "encrypted" if source.encrypted else "not encrypted"
        told.append(f"  the sound of {source.source} comes from {source.address}, {how}")
    told.append(f"  the log: {found.log}")
    for library in found.reporting:
        told.append(f"  {library.library} may send {library.report}: {library.variable} is {library.value!r}")
    told.append("Something leaves the house, or may." if found.leaves_house else "Nothing leaves the house.")
    return told


def _amount(count: int, noun: str, size_bytes: int, oldest: str | None) -> str:
    return f"{_count(count, noun)}, {_megabytes(size_bytes)}" + (f", the oldest of {oldest}" if oldest else "")


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _readable_by(mode: str | None) -> str:
    """Who may read it, where it is there."""
    if mode is None:
        return " (not there yet)"
    return f" (mode {mode}: " + ("others may read it)" if int(mode, 8) & 0o044 else "its owner alone)")
