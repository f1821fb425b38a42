"""A small inference server that speaks KServe's v2 protocol over HTTP, for a model repository that `export` wrote.

Conventions: what NVIDIA's client asks of a server, with its binary extension for tensors; ONNX Runtime runs the model.
Its configuration is read with a regular expression, since only the parameter that the daemon asks for matters here.
Does not: batch, queue, or prove that Triton takes the configuration; `test_triton.py` asks a real one if there is one.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class KServe:
    """A server on loopback that can be ended, started again on its port, and made to dawdle.

    Attributes:
        address: HOST:PORT.
        windows: How many it has classified.
        delay_s: How long it takes to answer an inference.
        spoil: What it does to logits.
    """

    def __init__(self, repository: Path) -> None:
        self.windows = 0
        self.delay_s = 0.0
        self.spoil: Callable[[Any], Any] = lambda logits: logits
        self._repository = repository
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Answer, on the same port as before."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Answer nothing any more, on connections that are open either."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, path: str, body: bytes, header_bytes: int) -> tuple[int, bytes, int | None]:
        """Status, body, and how much of that is JSON where tensors follow it."""
        model = re.fullmatch(r"/v2/models/([^/]+)/(config|infer|ready)", path)
        if model is None:
            return (200, b"{}", None) if path.startswith("/v2/health/") else (404, b'{"error":"unknown"}', None)
        folder = self._repository / model[1]
        if not folder.is_dir():
            return 400, json.dumps({"error": f"unknown model: {model[1]}"}).encode(), None
        if model[2] == "config":
            found = re.search(r'parameters \{ key: (".*?") value \{ string_value: (".*") \} \}', _config(folder))
            assert found is not None
            parameters = {json.loads(found[1]): {"string_value": json.loads(found[2])}}
            return 200, json.dumps({"name": model[1], "parameters": parameters}).encode(), None
        return self._infer(folder, body, header_bytes)

    def _infer(self, folder: Path, body: bytes, header_bytes: int) -> tuple[int, bytes, int | None]:
        (given,) = json.loads(body[:header_bytes])["inputs"]
        assert (given["name"], given["datatype"]) == ("mel_db", "FP32")
        assert given["parameters"]["binary_data_size"] == len(body) - header_bytes
        mel_db = np.frombuffer(body[header_bytes:], "<f4").reshape(given["shape"])
        names = [output["name"] for output in json.loads(body[:header_bytes])["outputs"]]
        tensors = _session(folder / "1" / "model.onnx").run(names, {"mel_db": mel_db})
        tensors[0] = self.spoil(tensors[0])
        time.sleep(self.delay_s)
        self.windows += len(mel_db)
        outputs: list[dict[str, Any]] = []
        for name, tensor in zip(names, tensors, strict=True):
            outputs.append({"name": name, "datatype": "FP32", "shape": list(tensor.shape)})
            outputs[-1]["parameters"] = {"binary_data_size": tensor.nbytes}
        head = json.dumps({"model_name": folder.name, "model_version": "1", "outputs": outputs}).encode()
        return 200, head + b"".join(tensor.astype("<f4").tobytes() for tensor in tensors), len(head)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        kserve = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # http.server's name
                self._give(*kserve.answer(self.path, b"", 0))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._give(*kserve.answer(self.path, body, int(self.headers["Inference-Header-Content-Length"])))

            def _give(self, status: int, body: bytes, header_bytes: int | None) -> None:
                if kserve._server is None:  # a connection that outlived the server
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if header_bytes is not None:
                    self.send_header("Inference-Header-Content-Length", str(header_bytes))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@lru_cache(maxsize=4)
def _session(model: Path) -> Any:
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def _config(folder: Path) -> str:
    return (folder / "config.pbtxt").read_text(encoding="utf-8")


def write_repository(repository: Path, model: Path, contract: Any) -> Path:
    """What `export --format triton` writes, of a test's own ONNX file."""
    from soundwatch.export.triton_repository import configuration

    version = repository / contract.name / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version / "model.onnx").write_bytes(model.read_bytes())
    (version.parent / "config.pbtxt").write_text(configuration(contract), encoding="utf-8")
    return repository
