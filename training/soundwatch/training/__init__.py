"""The training room: recipes and recordings in, a checkpoint that describes itself out. torch lives here."""

import soundwatch.daemon  # noqa: F401  # switches off the usage reporting of libraries before any is imported
