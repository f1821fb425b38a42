"""The runtime: audio sources in, events out. It imports nothing of training and export, and never torch.

Importing it, or any module in it, switches off the usage reporting of libraries (`core/reporting.py`).
"""

import os

from soundwatch.daemon.core.reporting import disable_reporting

disable_reporting(os.environ)  # before any library that reads the environment when it is imported

try:
    from soundwatch.daemon._version import __version__
except ModuleNotFoundError:  # a clone that was never installed; building it writes the version that git knows
    __version__ = "0.1.0.dev0"

__all__ = ["__version__"]
