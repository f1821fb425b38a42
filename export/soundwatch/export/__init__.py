"""The export room: a checkpoint in, model files out that are proven to compute the same."""

import soundwatch.daemon  # noqa: F401  # switches off the usage reporting of libraries before any is imported
