"""CUDA without a card: compiled stub libraries that refuse in each way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the stubs are shared libraries of Linux"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc, which compiles the stubs, is not installed"),
]

DRIVER = """
#include <stdlib.h>
static int set(const char *name, int otherwise) { char *text = getenv(name); return text ? atoi(text) : otherwise; }
int cuInit(unsigned flags) { return set("INIT", 0); }
int cuDriverGetVersion(int *version) { *version = set("VERSION", 13000); return 0; }
int cuDeviceGetCount(int *count) { *count = set("CARDS", 1); return set("COUNT", 0); }
int cuDeviceGet(int *card, int number) { *card = number; return set("GET", 0); }
int cuDeviceGetAttribute(int *value, int attribute, int card) {
    *value = attribute == 75 ? set("MAJOR", 8) : set("MINOR", 6);
    return set("ATTRIBUTE", 0);
}
"""
RUNTIME = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
static int error, locked;
int cudaHostRegister(void *place, size_t size, unsigned flags) {
    if ((uintptr_t)place % 4096 || size % 4096) { puts("not aligned"); error = 1; return 1; }
    error = getenv("REFUSE") ? 712 : 0;
    locked += !error;
    return error;
}
int cudaHostUnregister(void *place) { locked--; return 0; }
int cudaGetLastError(void) { int last = error; error = 0; return last; }
int pending(void) { return error; }
int held(void) { return locked; }
"""


def compiled(folder: Path, name: str, source: str) -> None:
    (folder / "stub.c").write_text(source)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", folder / name, folder / "stub.c"], check=True)


def run(folder: Path, program: str, *words: str, **settings: str) -> str:
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), **settings}
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


ASK = """
import json, os, sys
from soundwatch.daemon.inference.providers import cuda_unavailable_reason
for settings in json.loads(sys.argv[1]):
    os.environ.update(settings)
    print(cuda_unavailable_reason(int(settings.get("CARD", "0"))))
    for name in settings:
        del os.environ[name]
"""
REASONS: tuple[tuple[dict[str, str], str], ...] = (
    ({}, "None"),
    ({"VERSION": "13010", "MAJOR": "7", "MINOR": "5"}, "None"),
    ({"CARDS": "2", "CARD": "1"}, "None"),
    ({"INIT": "100"}, "the NVIDIA driver refuses cuInit with error 100: no card"),
    ({"INIT": "803"}, "the NVIDIA driver refuses cuInit with error 803: driver and library versions differ"),
    ({"INIT": "12345"}, "the NVIDIA driver refuses cuInit with error 12345: see the error codes"),
    ({"VERSION": "12040"}, "the NVIDIA driver supports CUDA 12.4, and CUDA 13 needs a driver of version 580"),
    ({"COUNT": "999"}, "the NVIDIA driver refuses cuDeviceGetCount with error 999: unknown error"),
    ({"CARDS": "0"}, "there is no card 0; the driver has 0"),
    ({"CARD": "3"}, "there is no card 3; the driver has 1"),
    ({"GET": "101"}, "the NVIDIA driver refuses cuDeviceGet with error 101: no such card"),
    ({"ATTRIBUTE": "2"}, "the NVIDIA driver refuses cuDeviceGetAttribute with error 2: out of memory"),
    ({"MAJOR": "6", "MINOR": "1"}, "the card has compute capability 6.1, and CUDA 13 needs 7.5 (Turing) or newer"),
    ({"MAJOR": "7", "MINOR": "0"}, "the card has compute capability 7.0, and CUDA 13 needs 7.5 (Turing) or newer"),
)


def test_the_driver_gives_its_version_and_the_gpu(tmp_path: Path) -> None:
    compiled(tmp_path, "libcuda.so.1", DRIVER)
    found = run(tmp_path, ASK, json.dumps([settings for settings, _ in REASONS])).splitlines()
    assert len(found) == len(REASONS)
    for line, (settings, reason) in zip(found, REASONS, strict=True):
        assert line.startswith(reason), settings


def test_a_driver_that_lacks_a_function_or_is_no_library_is_refused(tmp_path: Path) -> None:
    compiled(tmp_path, "libcuda.so.1", "int cuInit(unsigned flags) { return 0; }")
    assert run(tmp_path, ASK, "[{}]").startswith("the NVIDIA driver is incomplete")
    (tmp_path / "libcuda.so.1").write_text("not a library")
    assert run(tmp_path, ASK, "[{}]").startswith("the NVIDIA driver does not load")


LOCK = """
import ctypes, gc
from soundwatch.daemon.inference import io_binding
buffers = [io_binding.page_aligned((batch, 3, 5)) for batch in (1, 4, 16, 500)]
print([io_binding._lock(buffer) for buffer in buffers])
runtime = ctypes.CDLL("libcudart.so.13")
print(runtime.pending(), runtime.held())
del buffers
gc.collect()
print(runtime.held())
"""


def test_buffers_are_whole_pages_and_are_unlocked_with_their_end(tmp_path: Path) -> None:
    compiled(tmp_path, "libcudart.so.13", RUNTIME)
    assert run(tmp_path, LOCK).splitlines() == ["[True, True, True, True]", "0 4", "0"]


def test_a_refused_lock_leaves_no_error_behind(tmp_path: Path) -> None:
    compiled(tmp_path, "libcudart.so.13", RUNTIME)
    assert run(tmp_path, LOCK, REFUSE="1").splitlines() == ["[False, False, False, False]", "0 0", "0"]
