"""Start a program under the restrictions of a unit file: system calls, and memory that is writable and executable.

Usage: python seccomp_runner.py UNIT PROGRAM [ARGUMENT...]

Conventions: the same library as systemd's sets the same filters in the kernel; `SystemCallFilter=` and
`MemoryDenyWriteExecute=` are applied. The exit code is 77 where the kernel or the library is missing.
Does not: namespaces, users or devices.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

CANNOT = 77
SET_MDWE, NO_EXEC_GAIN = 65, 1
SET_NO_NEW_PRIVILEGES = 38
ALLOW, EPERM_INSTEAD = 0x7FFF0000, 0x00050000 | errno.EPERM


def expanded(name: str) -> set[str]:
    """The system calls of one, or of a set that begins with @."""
    if not name.startswith("@"):
        return {name}
    said = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    lines = [line.strip() for line in said.stdout.splitlines()[1:]]
    return set().union(*(expanded(line) for line in lines if line and not line.startswith("#")))


def allowed_by(unit: Path) -> set[str]:
    """The system calls that a unit file leaves."""
    allowed: set[str] = set()
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line.startswith("SystemCallFilter="):
            value = line.partition("=")[2]
            names = set().union(*(expanded(name) for name in value.removeprefix("~").split()))
            allowed = allowed - names if value.startswith("~") else allowed | names
    assert len(allowed) > 100, f"{unit} has no filter"
    return allowed


def confine(unit: Path) -> None:
    """Put this process, and all that it starts, under the unit's filter."""
    libc, seccomp = ctypes.CDLL(None, use_errno=True), ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(EPERM_INSTEAD)))
    for name in allowed_by(unit):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # or another machine's
            seccomp.seccomp_rule_add(context, ctypes.c_uint32(ALLOW), number, 0)
    if libc.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SET_MDWE, NO_EXEC_GAIN, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel refuses memory protection")
    if seccomp.seccomp_load(context):
        raise OSError("the kernel refuses the filter")


if __name__ == "__main__":
    try:
        confine(Path(sys.argv[1]))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(CANNOT)
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 -- what the test asked for
