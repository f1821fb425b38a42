"""The server in the program that its users start."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema

from soundwatch.daemon.web.api.openapi import document
from soundwatch.daemon.web.api.routes import ROUTES
from support.cli_runner import SOUNDWATCH, soundwatch
from support.demo_daemon import demo_daemon, get, has_event, wait_for
from support.ports import free_port
from support.web_harness import TOKEN, write_token

EXAMPLES = 25


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a daemon on the demo scene until its first event."""
    state = tmp_path_factory.mktemp("state")
    with demo_daemon(free_port(), env={"STATE_DIRECTORY": str(state)}) as url:
        wait_for(lambda: has_event(url))
        yield url


def test_the_published_document_is_the_one_that_is_tested(url: str) -> None:
    published = get(url, "/api/openapi.json")
    assert published == document()
    documented = {(method.upper(), path) for path, methods in published["paths"].items() for method in methods}
    assert documented >= {(route.method, route.path) for route in ROUTES}


@pytest.fixture
def described(request: pytest.FixtureRequest) -> BaseSchema:
    """Return the document for schemathesis. Requests are made in the test, not in each worker that collects tests."""
    request.node._nodeid = request.node.nodeid  # schemathesis 4 reads and sets the attribute that pytest 9.2 removed
    return schemathesis.openapi.from_dict(document())


operations = schemathesis.pytest.from_fixture("described").exclude(path_regex="^/(api/stream|api/clips|metrics)")


@operations.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_api_conforms_to_its_document(url: str, case: Any) -> None:
    response = case.call(base_url=url, headers={"Connection": "close"})
    if response.status_code not in (413, 429):  # too many items may be too many bytes, which is refused before
        case.validate_response(response, additional_checks=[not_a_server_error])


def answer(url: str, path: str) -> Any:
    """Return the response, once the requests of the tests before no longer exceed the limit."""
    found = get(url, path)
    while "too many requests" in str(found.get("error")):
        found = get(url, path)
    return found


def test_events_scores_and_health_of_the_demo_scene_are_there(url: str) -> None:
    event = answer(url, "/api/events")["events"][-1]
    assert event["source"] == "demo"
    assert answer(url, f"/api/events/{event['id']}")["id"] == event["id"]
    wait_for(lambda: answer(url, "/api/sources")["sources"][0]["last"] is not None)
    last = answer(url, "/api/sources")["sources"][0]["last"]
    assert set(last["scores"]) == {class_["name"] for class_ in answer(url, "/api/classes")["classes"]}
    assert answer(url, "/api/model")["card"].startswith("# urban")


def test_a_port_that_is_taken_is_an_error_at_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = soundwatch("run", "--device", "demo", "-F", f"http://127.0.0.1:{port}", timeout=60)
    assert done.returncode == 6
    assert b"cannot be bound: Address already in use. If another program" in done.stderr
    assert b"give another one with -F http://127.0.0.1:PORT" in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]", "nothing.invalid"])
def test_an_address_of_no_network_of_this_machine_is_named_as_such(tmp_path: Path, host: str) -> None:
    word = f"http://{host}:8433,token_file={write_token(tmp_path, TOKEN)}"
    done = soundwatch("run", "--device", "demo", "-F", word, timeout=60)
    assert done.returncode == 6
    assert b"No network of this machine has this address now; give -F http://0.0.0.0:8433" in done.stderr


def test_an_open_address_without_a_token_is_refused_at_the_start() -> None:
    done = soundwatch("run", "--device", "demo", "-F", "http://0.0.0.0:0", timeout=60)
    assert done.returncode == 2
    assert b"requires a token" in done.stderr


def test_recordings_have_no_page() -> None:
    done = soundwatch("replay", "none.wav", "-F", "http://127.0.0.1:0", timeout=60)
    assert done.returncode == 2
    assert b"recordings are only written to json" in done.stderr


def test_the_program_continues_for_its_page_after_its_output_was_closed(tmp_path: Path) -> None:
    port = free_port()
    command = [SOUNDWATCH, "run", "--device", "demo", "-F", "json,scores=1", "-F", f"http://127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as daemon:
        try:
            assert daemon.stdout is not None
            daemon.stdout.readline()
            daemon.stdout.close()
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: [sink["state"] for sink in (get(url, "/api/sinks") or {"sinks": []})["sinks"]] == ["gone"])
            assert get(url, "/api/health")["problems"], "and the page says so"
            assert daemon.poll() is None
        finally:
            daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(60) == 0
    assert b"Traceback" not in (tmp_path / "log").read_bytes()


def test_a_daemon_without_a_page_does_not_import_it() -> None:
    program = (
        "import sys\n"
        "import soundwatch.daemon.app.build, soundwatch.daemon.cli.run, soundwatch.daemon.app.outputs\n"
        "heavy = {'starlette', 'uvicorn', 'websockets', 'prometheus_client', 'asyncio', 'soundwatch.daemon.web'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit and /proc are Linux's")
def test_exhausted_file_descriptors_give_log_lines_and_no_traceback_and_the_page_recovers(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    with demo_daemon(port, env={"STATE_DIRECTORY": str(tmp_path)}, log=log) as url:
        wait_for(lambda: has_event(url))  # every module is imported by now
        [pid] = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if f":{port}" in read(path)]
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 10, hard))
        crowd = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(30)]
        wait_for(lambda: b"web_server_error" in log.read_bytes())
        for client in crowd:
            client.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        wait_for(lambda: get(url, "/api/health"))
    lines = log.read_bytes().splitlines()
    assert [b"Too many open files" in line for line in lines if b"web_server_error" in line] == [True]
    assert not any(b"Traceback" in line for line in lines)


def read(path: Path) -> str:
    """Read a file of another process; empty once the process has ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
