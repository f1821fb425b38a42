"""Inference on a server: scores equal the local model's, and no window is lost without the server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from soundwatch.daemon.config.config import Config, DetectionConfig, ModelConfig
from soundwatch.daemon.core.errors import ModelError
from soundwatch.daemon.inference.classifier import LoadedModel, activate, activate_classes, load_classifier_file
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.inference.triton_client import RemoteClassifier, TritonServer
from support.band_model import TAGGED_CONTRACT, write_band_model
from support.fakes import SMALL_CONTRACT
from support.kserve_server import KServe, write_repository
from support.ports import free_port

pytest.importorskip("tritonclient.http", reason="tritonclient is not installed: pip install '.[triton]'")
PATIENCE_S = 30
LOGISTIC = partial(activate, activation=SMALL_CONTRACT.activation)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_band_model(tmp_path / "bands.onnx")


@pytest.fixture
def local(model: Path) -> LoadedModel:
    return load_classifier_file(model, "cpu")


@pytest.fixture
def kserve(tmp_path: Path, model: Path) -> Iterator[KServe]:
    server = KServe(write_repository(tmp_path / "repository", model, SMALL_CONTRACT))
    yield server
    server.stop()


def connect(address: str, local: LoadedModel) -> RemoteClassifier:
    return RemoteClassifier(TritonServer(address, local.contract.name, local.contract), local, LOGISTIC, retry_s=0.05)


def some_windows(count: int) -> NDArray[np.float32]:
    shape = (count, *SMALL_CONTRACT.features.input_shape)
    return np.random.default_rng(3).uniform(-60, 0, shape).astype(np.float32)


def wait_for(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_the_server_gives_the_scores_of_the_local_model_and_is_the_provider(kserve: KServe, local: LoadedModel) -> None:
    remote = connect(kserve.address, local)
    probed = kserve.windows
    windows = some_windows(150)  # more than one request may hold
    np.testing.assert_allclose(remote.classify(windows), local.classify(windows), atol=1e-6)
    assert kserve.windows == probed + 150
    assert (remote.provider, remote.contract) == (f"triton://{kserve.address}", local.contract)


def test_the_tags_come_from_the_server_as_well(tmp_path: Path) -> None:
    model = write_band_model(tmp_path / "bands.onnx", TAGGED_CONTRACT)
    local = load_classifier(Config(model=ModelConfig(file=str(model)), detection=DetectionConfig(tags=("glass",))))
    kserve = KServe(write_repository(tmp_path / "repository", model, TAGGED_CONTRACT))
    try:
        server = TritonServer(kserve.address, local.contract.name, local.contract)
        remote = RemoteClassifier(server, local, partial(activate_classes, contract=local.contract))
        assert remote.provider == f"triton://{kserve.address}"
        np.testing.assert_allclose(remote.classify(some_windows(3)), local.classify(some_windows(3)), atol=1e-6)
    finally:
        kserve.stop()


@pytest.mark.slow
def test_windows_run_locally_while_the_server_is_unavailable(kserve: KServe, local: LoadedModel) -> None:
    remote, windows = connect(kserve.address, local), some_windows(3)
    expected = local.classify(windows)
    kserve.stop()
    np.testing.assert_array_equal(remote.classify(windows), expected)
    assert remote.provider == "CPUExecutionProvider"
    assert remote.obstacle
    kserve.start()
    wait_for(lambda: remote.obstacle is None, "the server is used again")
    np.testing.assert_allclose(remote.classify(windows), expected, atol=1e-6)
    assert remote.provider == f"triton://{kserve.address}"


def test_a_server_that_is_unavailable_at_the_start_is_used_once_it_responds(kserve: KServe, local: LoadedModel) -> None:
    kserve.stop()
    remote = connect(kserve.address, local)
    assert remote.provider == "CPUExecutionProvider"
    np.testing.assert_array_equal(remote.classify(some_windows(2)), local.classify(some_windows(2)))
    kserve.start()
    wait_for(lambda: remote.obstacle is None, "the server is used")
    remote.classify(some_windows(1))
    assert remote.provider.startswith("triton://")


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["slow", "nan", "short"])
def test_a_late_or_invalid_response_falls_back_to_the_local_model(
    kserve: KServe, local: LoadedModel, wrong: str
) -> None:
    remote, windows = connect(kserve.address, local), some_windows(2)
    if wrong == "slow":
        kserve.delay_s = 3.0
    else:
        kserve.spoil = lambda logits: logits * np.nan if wrong == "nan" else logits[:, :1]
    np.testing.assert_array_equal(remote.classify(windows), local.classify(windows))
    assert remote.provider == "CPUExecutionProvider"


def test_a_server_with_another_model_of_that_name_is_refused(
    tmp_path: Path, kserve: KServe, local: LoadedModel
) -> None:
    other = msgspec.structs.replace(SMALL_CONTRACT, weights_sha256="cd" * 32)
    write_repository(tmp_path / "repository", write_band_model(tmp_path / "other.onnx", other), other)
    with pytest.raises(ModelError, match=r"is double@sha256:cdcd.*, and this machine's model is double@sha256:abab"):
        connect(kserve.address, local)


def test_a_server_with_other_scores_than_its_contracts_model_is_refused(kserve: KServe, local: LoadedModel) -> None:
    kserve.spoil = lambda logits: logits + 0.1
    with pytest.raises(ModelError, match=r"gives scores that differ by 0\.0\d+ from this machine's"):
        connect(kserve.address, local)


def test_a_server_that_returns_with_another_model_is_not_used(
    tmp_path: Path, kserve: KServe, local: LoadedModel
) -> None:
    remote = connect(kserve.address, local)
    kserve.stop()
    remote.classify(some_windows(1))
    other = msgspec.structs.replace(SMALL_CONTRACT, weights_sha256="cd" * 32)
    write_repository(tmp_path / "repository", write_band_model(tmp_path / "other.onnx", other), other)
    kserve.start()
    wait_for(lambda: "double@sha256:cdcd" in str(remote.obstacle), "the reason is stored")
    remote.classify(some_windows(1))
    assert remote.provider == "CPUExecutionProvider"


# NVIDIA's server from PyPI's nvidia-pytriton, which has a Python backend and no ONNX Runtime backend. Triton reads the
# configuration, warms up, batches and responds; ONNX Runtime runs inside the Python backend.

PYTHON_BACKEND = """
import numpy, onnxruntime, triton_python_backend_utils as triton
class TritonPythonModel:
    def initialize(self, args):
        path = args["model_repository"] + "/" + args["model_version"] + "/model.onnx"
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    def execute(self, requests):
        responses = []  # tensors by DLPack: this build was made for numpy 1, whose arrays have another memory layout
        for request in requests:
            mel_db = numpy.from_dlpack(triton.get_input_tensor_by_name(request, "mel_db"))
            logits = self.session.run(None, {"mel_db": mel_db})[0]
            responses.append(triton.InferenceResponse([triton.Tensor.from_dlpack("logits", logits)]))
        return responses
"""


def tritonserver() -> Path:
    """Return the folder of Triton's server, or skip the test with the command that installs it."""
    for folder in map(Path, sys.path):
        if (folder / "pytriton" / "tritonserver" / "bin" / "tritonserver").exists():
            return folder / "pytriton" / "tritonserver"
    pytest.skip("Triton's server is not installed: pip install --no-deps nvidia-pytriton (Linux, x86-64)")


@pytest.fixture
def real_server(tmp_path: Path, model: Path) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """Start the server; provide its address and functions that kill and start it."""
    home = tritonserver()
    repository = write_repository(tmp_path / "repository", model, SMALL_CONTRACT)
    config = repository / "double" / "config.pbtxt"
    config.write_text(config.read_text().replace('backend: "onnxruntime"', 'backend: "python"'))
    program = f"import sys\nsys.path[:0] = {[path for path in sys.path if path]}\n{PYTHON_BACKEND}"
    (repository / "double" / "1" / "model.py").write_text(program)  # the stub's Python lacks our packages
    backend, version = tmp_path / "backends" / "python", f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(home / "backends" / "python", backend)
    stub = home / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.exists():
        pytest.skip(f"Triton's Python backend has none for Python {version}")
    shutil.copy(stub, backend)
    port = free_port()
    ports = [f"--http-port={port}", "--http-address=127.0.0.1", "--allow-grpc=false", "--allow-metrics=false"]
    command = [str(home / "bin" / "tritonserver"), f"--model-repository={repository}", *ports]
    command += [f"--backend-directory={backend.parent}", "--log-info=false", "--log-warning=false"]
    libraries = os.pathsep.join([str(home.parents[1] / "nvidia_pytriton.libs"), f"{sys.base_prefix}/lib"])
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        environment = os.environ | {"LD_LIBRARY_PATH": libraries}
        with (tmp_path / "triton.log").open("ab") as log:
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
        wait_for(lambda: _is_ready(port) or running[-1].poll() is not None, "Triton is ready")
        assert running[-1].poll() is None, (tmp_path / "triton.log").read_text()[-2000:]

    def kill() -> None:
        process = running.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    try:
        start()
        yield f"127.0.0.1:{port}", kill, start
    finally:
        while running:
            kill()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def test_nvidias_server_serves_the_repository_and_can_be_killed_and_started(
    real_server: tuple[str, Callable[[], None], Callable[[], None]], local: LoadedModel
) -> None:
    address, kill, start = real_server
    remote, windows = connect(address, local), some_windows(100)
    expected = local.classify(windows)
    np.testing.assert_allclose(remote.classify(windows), expected, atol=1e-6)
    assert remote.provider == f"triton://{address}", remote.obstacle
    kill()
    np.testing.assert_array_equal(remote.classify(windows), expected)
    assert remote.provider == "CPUExecutionProvider"
    start()
    wait_for(lambda: remote.obstacle is None, "the server is used again")
    np.testing.assert_allclose(remote.classify(windows), expected, atol=1e-6)
    assert remote.provider == f"triton://{address}", remote.obstacle
