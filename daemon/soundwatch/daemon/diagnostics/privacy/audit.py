"""Audit of the data that soundwatch stores and sends, from the configuration and the existing files.

Conventions: no name is looked up and no connection is opened.
Does not: start the daemon, or follow the data beyond its first destination.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.capture import source_kind
from soundwatch.daemon.capture.streams.certificates import UNCHECKED
from soundwatch.daemon.config.clips_folder import clips_folder
from soundwatch.daemon.config.config import ClipsConfig, Config, JournalConfig
from soundwatch.daemon.config.source import SourceClipsConfig
from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.core.files.paths import is_there
from soundwatch.daemon.core.time.clock import format_datetime
from soundwatch.daemon.diagnostics.network.network_reach import NetworkReach, network_reach
from soundwatch.daemon.diagnostics.privacy.earlier_clips import earlier_clips
from soundwatch.daemon.diagnostics.privacy.library_reporting import LibraryReporting, library_reporting
from soundwatch.daemon.journal.location import journal_path
from soundwatch.daemon.journal.queries.events import journal_totals
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS, parse_sink, sink_url, split_options
from soundwatch.daemon.sinks.spec import SinkSpec
from soundwatch.daemon.web.http.settings import parse_settings


class JournalAudit(msgspec.Struct, frozen=True, kw_only=True):
    """The stored events; a journal holds no sound.

    Attributes:
        path: The file; null for a journal in memory.
        mode: Permissions of the file, in octal; null if there is no file.
        lines: Number of lines.
        oldest: Time of the first line.
        size_bytes: Size of the file.
        labels: Number of labels that users set.
        max_age_days: Limit of the lines' age.
        max_bytes: Limit of the file's size.
        problem: Reason why the journal cannot be read; null if it can.
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
    """The stored sound.

    Attributes:
        folder: Folder of new clips; null if no sound is stored.
        mode: Permissions of the folder, in octal; null if there is no folder.
        clips: Number of clips.
        size_bytes: Size of the clips and their pictures.
        oldest: Time of the first clip.
        pictures: Number of spectrograms of clips.
        others: Number of other files in the folder.
        earlier: Folders with clips of earlier runs, from the journal, and the number of their clips.
        speech_guard: Model that rejects clips with speech: `speech`, a path, or null for none.
        sources_without_clips: Sources that write none, against the common setting.
        sources_without_guard: Sources whose clips are not checked for speech, against the common setting.
        max_age_days: Limit of the clips' age.
        max_bytes: Limit of the clips' size.
        best_per_class: Number of clips of each class that the age limit does not remove.
        problem: Reason why the folder cannot be read; null if it can.
    """

    folder: str | None
    mode: str | None = None
    clips: int = 0
    size_bytes: int = 0
    oldest: str | None = None
    pictures: int = 0
    others: int = 0
    earlier: dict[str, int] = {}
    speech_guard: str | None = None
    sources_without_clips: tuple[str, ...] = ()
    sources_without_guard: tuple[str, ...] = ()
    max_age_days: float
    max_bytes: int
    best_per_class: int
    problem: str | None = None


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A sink to which lines are sent, or from which they can be read."""

    sink: str
    reach: NetworkReach
    description: str = msgspec.field(name="says")


class NetworkSourceAudit(msgspec.Struct, frozen=True, kw_only=True):
    """A source whose sound comes over a network, which is protected only if it is encrypted."""

    source: str
    address: str
    reach: NetworkReach
    encrypted: bool
    certificate_checked: bool


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an audit.

    Attributes:
        journal: The stored events.
        clips: The stored sound.
        destinations: The sinks.
        network_sources: Sources with sound from a network.
        listening: Sources that the page's token allows to listen to live.
        reporting: Usage reporting of libraries that the user's environment switches on.
        log: Destination of the log.
        leaves_house: True if data leaves the local network, or may leave it.
    """

    journal: JournalAudit
    clips: ClipsAudit
    destinations: tuple[Destination, ...]
    network_sources: tuple[NetworkSourceAudit, ...]
    listening: tuple[str, ...] = ()
    reporting: tuple[LibraryReporting, ...] = ()
    log: str = "standard error, which the parent process may redirect"
    leaves_house: bool = False


def audit(config: Config) -> Audit:
    """Audit the data that a configuration stores and sends.

    Raises:
        ConfigError: A sink is invalid, or `run` would refuse its address.
    """
    specs = [parse_sink(text) for text in config.sinks]
    for spec in specs:
        if spec.kind == "http":
            parse_settings(spec, "", os.environ)  # refused here as by `run`
    destinations = (*map(_destination, specs), *_rule_destinations(config))
    network = tuple(
        NetworkSourceAudit(
            source=name,
            address=host,
            reach=network_reach(host),
            encrypted=encrypted(str(source.device)),
            certificate_checked=encrypted(str(source.device)) and source.certificate != UNCHECKED,
        )
        for name, source in config.sources.items()
        if (encrypted := source_kind(source.device).encrypted) is not None
        for host in [urlsplit(str(source.device)).hostname or ""]
    )
    reporting = library_reporting(os.environ)
    clips = msgspec.structs.replace(audit_clips(config.clips), **_clips_of_sources(config))
    return Audit(
        reporting=reporting,
        journal=audit_journal(config.journal),
        clips=msgspec.structs.replace(clips, earlier=earlier_clips(config.journal, clips.folder)),
        destinations=destinations,
        network_sources=network,
        listening=tuple(name for name, source in config.sources.items() if source.listen),
        leaves_house=bool(reporting) or any(item.reach in ("outside", "unknown") for item in destinations),
    )


def audit_journal(config: JournalConfig) -> JournalAudit:
    """Audit the journal, as far as it can be read."""
    found = JournalAudit(path=config.path, max_age_days=config.max_age_days, max_bytes=config.max_bytes)
    try:
        path = journal_path(config)
        if not isinstance(path, Path):
            return msgspec.structs.replace(found, path=None)
        found = msgspec.structs.replace(found, path=str(path))
        if not is_there(path):
            return found
        sizes = [file.stat().st_size for file in (path, path.with_name(path.name + "-wal")) if is_there(file)]
        found = msgspec.structs.replace(found, mode=_mode(path), size_bytes=sum(sizes))
        store = JournalStore(path, writing=False)
        totals = journal_totals(store)
        store.close()
    except (StoreError, sqlite3.Error, OSError) as error:
        return msgspec.structs.replace(found, problem=str(error))
    return msgspec.structs.replace(found, lines=totals.lines, oldest=totals.oldest, labels=totals.labels)


def _clips_of_sources(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the sources whose clips differ from the common setting."""
    if config.clips.folder is None:
        return {}
    own = {name: source.clips for name, source in config.sources.items()}
    unguarded = tuple(
        name for name, clips in own.items() if isinstance(clips, SourceClipsConfig) and clips.speech_guard is False
    )
    return {
        "sources_without_clips": tuple(name for name, clips in own.items() if clips is False),
        "sources_without_guard": unguarded if config.clips.speech_guard is not False else (),
    }


def audit_clips(config: ClipsConfig) -> ClipsAudit:
    """Audit the clips, as far as their folder can be read."""
    from soundwatch.daemon.clips.clip_names import list_clips, list_pictures
    from soundwatch.daemon.clips.clip_store import AGES_NAME

    guard = "speech" if config.speech_guard is True else config.speech_guard
    found = ClipsAudit(
        folder=config.folder,
        speech_guard=guard or None,
        max_age_days=config.max_age_days,
        max_bytes=config.max_bytes,
        best_per_class=config.best_per_class,
    )
    try:
        folder = clips_folder(config)
        if folder is None or not is_there(folder):
            return found
        found = msgspec.structs.replace(found, folder=str(folder), mode=_mode(folder))
        clips, pictures = list_clips(folder), list_pictures(folder)
        entries = sum(path.name != AGES_NAME for path in folder.iterdir())
    except ConfigError as error:
        return msgspec.structs.replace(found, problem=str(error))
    except OSError as error:
        return msgspec.structs.replace(found, problem=f"It cannot be read: {error.strerror}.")
    return msgspec.structs.replace(
        found,
        clips=len(clips),
        size_bytes=sum(clip.size_bytes for clip in clips),
        oldest=min((_time_of(clip.stamp) for clip in clips), default=None),
        pictures=len(pictures),
        others=entries - len(clips) - len(pictures),
    )


def _rule_destinations(config: Config) -> Iterator[Destination]:
    """Classify the outputs of the enabled alert rules."""
    for name, rule in config.rules.items():
        for text in rule.then.send if rule.enabled else ():
            if split_options(text)[0].startswith("apprise:") or split_options(text)[0] == "apprise":
                found = Destination(sink="apprise", reach="unknown", description="a service, which may be anywhere")
            else:
                found = _destination(parse_sink(text))
            yield msgspec.structs.replace(found, sink=f"rule {name}: {found.sink}")


def _destination(spec: SinkSpec) -> Destination:
    """Classify a sink by its destination."""
    kind = OUTPUT_KINDS[spec.kind]
    if kind.reach == "local":
        return Destination(sink=spec.text, reach="machine", description=kind.local(spec.target))
    if kind.reach == "program":
        return Destination(
            sink=spec.text, reach="unknown", description="a program, which may send lines to any address"
        )
    url = sink_url(spec)
    host = (None if url is None else url.hostname) or ""
    shown = f"{spec.kind}://{host}"  # without path and password, which may be secrets
    reach = network_reach(host) if host else "unknown"
    if host in ("0.0.0.0", "::"):  # noqa: S104  # compared only
        return Destination(
            sink=shown, reach="local_network", description="every machine that reaches this one and has the token"
        )
    descriptions = {
        "machine": "this machine only",
        "local_network": "a machine in a private network",
        "outside": "a machine outside private networks, or with a name that may be outside",
        "unknown": "an unknown address",
    }
    return Destination(sink=shown, reach=reach, description=descriptions[reach])


def _mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def _time_of(stamp: str) -> str:
    """Return a clip's time in the format of lines."""
    return format_datetime(datetime.strptime(stamp, "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC))
