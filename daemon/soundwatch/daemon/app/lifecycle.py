"""The sources that a program listens to, and the wish to stop.

Conventions: stopping takes no lock, so a signal handler may ask for it, and so may any thread.
"""

from __future__ import annotations

from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.source import LiveSource
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.system.sd_notify import SystemdNotifier


class Lifecycle:
    """The sources that are being listened to, and the wish to stop.

    Args:
        notifier: Tells the service manager of that.
    """

    def __init__(self, notifier: SystemdNotifier | None = None) -> None:
        self._notifier = notifier or SystemdNotifier()
        self.sessions: list[SourceSession] = []
        self.stop_asked = False
        self.failure: SoundwatchError | None = None

    def add(self, source: LiveSource) -> SourceSession:
        """Take up a source that has been opened."""
        listening = SourceSession(source)
        self.sessions = [*self.sessions, listening]
        if self.stop_asked:
            listening.stop()
        return listening

    def remove(self, listening: SourceSession) -> None:
        """Forget a source that is not wanted any longer."""
        self.sessions = [each for each in self.sessions if each is not listening]

    def stop(self) -> None:
        """End every source's events and then the program."""
        self.stop_asked = True
        self._notifier.stopping()
        for listening in self.sessions:
            listening.stop()

    def fail(self, error: SoundwatchError) -> None:
        """Stop, and end with an error."""
        self.failure = error
        self.stop()
