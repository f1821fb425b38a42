"""Active sources and the shutdown flag.

Conventions: stopping takes no lock, so signal handlers and every thread may call it.
"""

from __future__ import annotations

from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.records.source import LiveSource
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.system.sd_notify import SystemdNotifier


class Lifecycle:
    """Active sources and the shutdown flag.

    Args:
        notifier: Notifies the service manager of the shutdown.
    """

    def __init__(self, notifier: SystemdNotifier | None = None) -> None:
        self._notifier = notifier or SystemdNotifier()
        self.sessions: list[SourceSession] = []
        self.stopping = False
        self.failure: SoundwatchError | None = None

    def add(self, source: LiveSource) -> SourceSession:
        """Add a source that has been opened."""
        session = SourceSession(source)
        self.sessions = [*self.sessions, session]
        if self.stopping:
            session.stop()
        return session

    def remove(self, session: SourceSession) -> None:
        """Remove a source."""
        self.sessions = [other for other in self.sessions if other is not session]

    def stop(self) -> None:
        """End every source's events and then the program."""
        self.stopping = True
        self._notifier.stopping()
        for session in self.sessions:
            session.stop()

    def fail(self, error: SoundwatchError) -> None:
        """Stop, and keep the error to end with."""
        self.failure = error
        self.stop()
