"""The runtime: audio sources in, events out. It imports nothing of training and export, and never torch.

Importing it, or any module in it, switches off the usage reporting of libraries (`core/process/reporting.py`), and the
threads of numpy's BLAS: between small products they spin, which takes many times the processor time without a gain.
"""

import os

from soundwatch.daemon.core.process.reporting import disable_reporting

disable_reporting(os.environ)  # before any library that reads the environment when it is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's BLAS reads it when numpy is first imported

try:
    from soundwatch.daemon._version import __version__
except ModuleNotFoundError:  # a clone that was never installed; building it writes the version that git knows
    __version__ = "0.1.0.dev0"

__all__ = ["__version__"]
