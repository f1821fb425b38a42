"""Every thread of the daemon survives its errors, or may end by one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from support.source_trees import ROOT, modules

# Functions of threads that may end by an exception, which the log then reports (`thread_failed`), and the reason.
UNGUARDED_THREADS: Final = {
    "__main__.py int": "it returns 0; its end loads what the end of every thread needs",
    "capture/microphones/capture_worker.py _exit_with_daemon": "a process of its own, whose end is a lost source",
    "capture/microphones/capture_worker.py _report_hung_opening": "a process of its own, where PortAudio's limit holds",
    "capture/streams/ffmpeg.py _read": "the source only lacks the reason of its end",
    "capture/recordings/ffmpeg_file.py _read": "the recording only lacks the reason of its end",
    "scan/process_pool.py _end_with_parent": "a process of its own",
    "scan/process_pool.py _stop_searches": "a process of its own, which then finishes its search",
    "sinks/command.py _read": "the log only lacks a program's output",
    "sinks/command.py _write": "an ended program reads no more, and no more than 512 bytes are allocated",
    "sinks/place.py lambda": "the path stays as it is written",
    "sinks/terminal/sink.py _read": "the view only lacks the log's lines",
    "system/log_output.py write": "the log itself",
}


def thread_functions(tree: ast.Module) -> Iterator[str]:
    """Names of the functions that a module's threads run."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "threading.Thread":
            [target] = [keyword.value for keyword in node.keywords if keyword.arg == "target"]
            yield "lambda" if isinstance(target, ast.Lambda) else ast.unparse(target).rpartition(".")[2]


def is_guarded(name: str, tree: ast.Module, depth: int = 2) -> bool:
    """Whether a function, or one that it calls in its module, takes every exception."""
    bodies = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    for node in (inner for body in bodies for inner in ast.walk(body)):
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            if ast.unparse(node.type) in ("Exception", "BaseException"):
                return True
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called == "contextlib.suppress" and ast.unparse(node.args[0]) == "Exception":
                return True
            if depth and is_guarded(called.rpartition(".")[2], tree, depth - 1):
                return True
    return False


def test_every_thread_of_the_daemon_has_a_guard_or_a_reason_to_have_none() -> None:
    unguarded = set()
    for path in modules("daemon"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        place = path.relative_to(ROOT / "daemon" / "soundwatch" / "daemon").as_posix()
        unguarded |= {f"{place} {name}" for name in thread_functions(tree) if not is_guarded(name, tree)}
    assert unguarded == UNGUARDED_THREADS.keys()
