"""Training: recipes and recordings in, a self-describing checkpoint out. Only training and export import torch."""

import soundwatch.daemon  # noqa: F401  # switches off the usage reporting of libraries before any is imported
