"""`soundwatch label`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from soundwatch.daemon.cli.options import apply_journal, config_option, journal_option
from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.core.config import load_config


@click.command()
@click.argument("event_id", metavar="EVENT_ID")
@click.argument("said", metavar="right|none|CLASS")
@config_option
@journal_option
def label(event_id: str, said: str, config_path: Path | None, journal: str | None) -> None:
    """Say what an event really was: what it was taken for, none of the kind, or another class; the last word counts.

    The page's "right" and "wrong, it was ..." do the same. `soundwatch teach` makes use of it.
    """
    from soundwatch.daemon.journal import labels
    from soundwatch.daemon.journal.location import open_for_labels

    store = open_for_labels(apply_journal(load_config(config_path), journal).journal)
    event = labels.last_event_line(store, event_id)
    class_ = labels.parse_label(said, event, labels.known_classes(store))
    labels.set_label(store, event_id, format_utc(time.time_ns()), class_)
    store.close()
    click.echo(f"{event['class']} of {event['onset']} at {event['source']}: {class_ or 'none of the kind'}")
