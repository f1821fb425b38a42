"""Pictures of clips as messages, which Home Assistant shows as image entities.

Conventions: the payload is the PNG file. Of the lines that are delivered at once, only the newest picture of each
source is published, since an image entity shows one. Messages are not retained: a broker would keep a picture after
its clip was deleted.
Does not: draw (`clips/picture.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.clip_files import clip_picture_path
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.mqtt.connection import MqttMessage
from soundwatch.daemon.sinks.mqtt.topics import Topics
from soundwatch.daemon.sinks.spec import SinkSpec


class _Clip(msgspec.Struct):
    """Keys of a line that has a picture."""

    type: str
    source: str | None = None
    file: str | None = None
    picture: str | None = None


def has_pictures(config: Config) -> bool:
    """Return whether clips have pictures."""
    return config.clips.folder is not None and config.clips.pictures


def check_pictures(spec: SinkSpec, config: Config) -> None:
    """Refuse to publish pictures where clips have none.

    Raises:
        ConfigError: The configuration has no pictures of clips.
    """
    if not has_pictures(config):
        raise ConfigError(
            f"-F {spec.text}: pictures=1 publishes the pictures of clips, and none are written. Set clips.folder and "
            "clips.pictures: true, or leave pictures out."
        )


def picture_messages(
    entries: Sequence[JournalEntry], topics: Topics, folder: Path | None, log: Logger, sink: str
) -> list[MqttMessage]:
    """Return the newest picture of each source; one that was deleted since, as its clip, is left out.

    Args:
        entries: Lines of the journal.
        topics: Topics of the machine.
        folder: Folder of the clips; a picture of another folder is left out.
        log: Gets each picture that cannot be read.
        sink: Name of the sink in the log.
    """
    newest: dict[str, Path] = {}
    for entry in entries:
        clip = msgspec.json.decode(entry.line, type=_Clip)
        path = clip_picture_path(folder, clip.file, clip.picture) if clip.type == "clip" else None
        if clip.source is not None and path is not None:
            newest[clip.source] = path
    messages = []
    for source, path in newest.items():
        try:
            messages.append(MqttMessage(topics.picture(source), path.read_bytes()))
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("mqtt_picture_unreadable", sink=sink, file=str(path), error=error.strerror or str(error))
    return messages
