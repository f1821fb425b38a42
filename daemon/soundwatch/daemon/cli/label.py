"""`soundwatch label`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from soundwatch.daemon.cli.options import apply_journal, config_option, stored_journal_option
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.time.clock import format_utc


@click.command()
@click.argument("event_id", metavar="EVENT_ID")
@click.argument("verdict", metavar="right|none|CLASS")
@config_option
@stored_journal_option
def label(event_id: str, verdict: str, config_path: Path | None, journal: str | None) -> None:
    """Label an event: right, none of the classes, or another class. The last label of an event counts.

    The page's "right" and "wrong, it was ..." set the same labels. `soundwatch teach` exports labeled clips.
    """
    from soundwatch.daemon.journal.location import open_for_labels
    from soundwatch.daemon.journal.queries import labels

    store = open_for_labels(apply_journal(load_config(config_path), journal).journal)
    event = labels.last_event_line(store, event_id)
    class_ = labels.parse_label(verdict, event, labels.known_classes(store))
    labels.set_label(store, event_id, format_utc(time.time_ns()), class_)
    store.close()
    click.echo(f"{event['class']} of {event['onset']} at {event['source']}: {class_ or 'none of the classes'}")
