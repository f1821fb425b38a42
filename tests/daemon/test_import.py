"""What importing the program sets in its process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_products_of_matrices_start_no_thread_however_the_program_is_imported() -> None:
    program = (
        "import soundwatch.daemon.cli, numpy, os; "
        "matrix = numpy.ones((600, 600), numpy.float32); matrix @ matrix; print(len(os.listdir('/proc/self/task')))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True)
    assert done.stdout.strip() == b"1"
