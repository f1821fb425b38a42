"""Inference on a Triton server, with the local model while the server is unavailable.

Conventions: the daemon computes mel decibels by its model's contract; the server returns logits by the KServe v2
protocol over HTTP. The backend `triton://HOST:PORT` names the server. The model file must also be local: the server's
contract is compared with the file's, and the local model runs while the server is unavailable.
Rule: a server is used only after a check of its contract and of its scores for reference windows. If it does not
respond in time, the local model classifies the waiting windows and all further ones until the server passes the check
again. The check is repeated every few seconds, and less often if the server fails repeatedly. No window is lost or
delayed by more than `REQUEST_TIMEOUT_S`.
Source: NVIDIA's client `tritonclient`; `soundwatch export --format triton` writes the model repository.
Does not: encrypt, or authenticate; use a tunnel for that. Mel decibels leave this machine, and speech can partly be
reconstructed from them: use your own server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ConfigError, ContractError, ModelError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import CONTRACT_KEY, ModelContract, decode_contract
from soundwatch.daemon.core.network.backoff import Backoff
from soundwatch.daemon.core.process.extras import install_command

SCHEME: Final = "triton://"
REQUEST_TIMEOUT_S: Final = 0.5  # with windows waiting
PROBE_TIMEOUT_S: Final = 5.0  # without windows waiting
RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 60.0
MAX_SCORE_DIFFERENCE: Final = 1e-3  # the limit of export, too
MAX_BATCH_WINDOWS: Final = 64  # the `max_batch_size` that export writes

Activate = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class ServerUnavailableError(Exception):
    """The server cannot be used now; the message is the reason. It is caught within this module."""


@dataclass(frozen=True, slots=True)
class ReferenceBatch:
    """Windows (N, C, M, T) of digital silence and of noise in decibels, and the local model's scores (N, K)."""

    mel_db: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TritonServer:
    """A model on a server.

    Attributes:
        address: HOST:PORT.
        model: Name of the model on the server.
        contract: Contract that the server's model must have.
    """

    address: str
    model: str
    contract: ModelContract

    def check(self, probe: ReferenceBatch, activate: Activate) -> None:
        """Compare the server's contract and scores with the local model's.

        Raises:
            ServerUnavailableError: The server does not respond, or its response is invalid.
            ModelError: The server has another model.
        """
        client = self.connect(PROBE_TIMEOUT_S)
        try:
            config = self._request(partial(client.get_model_config, self.model))
            text = config.get("parameters", {}).get(CONTRACT_KEY, {}).get("string_value", "")
            where = f"{self.model} on {self.address}"
            if not text:
                raise ContractError(
                    f"{where} has no contract. Serve the repository that `soundwatch export --format triton` writes."
                )
            contract = decode_contract(text, where)
            if contract.weights_sha256 != self.contract.weights_sha256 or contract.features != self.contract.features:
                raise ModelError(
                    f"{where} is {contract.identity}, and this machine's model is {self.contract.identity}: one stream "
                    "needs scores of one model. Serve the local model, or name the server's with --model or model.file."
                )
            difference = float(np.abs(activate(self.logits(client, probe.mel_db)) - probe.scores).max())
            start_s = time.monotonic()
            self.logits(client, probe.mel_db)  # a second time, since the first request may take longer
            duration_s = time.monotonic() - start_s
            if not difference <= MAX_SCORE_DIFFERENCE:
                raise ModelError(
                    f"{where} gives scores that differ by {difference:.2g} from this machine's; the limit is "
                    f"{MAX_SCORE_DIFFERENCE:g}. Its files do not match its contract; export them again."
                )
            if duration_s > REQUEST_TIMEOUT_S:
                raise ServerUnavailableError(
                    f"a response took {duration_s:.2f} s; the limit is {REQUEST_TIMEOUT_S:g} s"
                )
        finally:
            client.close()

    def logits(self, client: Any, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Request the outputs (N, K + G) of N windows' mel decibels (N, C, M, T).

        Raises:
            ServerUnavailableError: The response is late or invalid.
        """
        import tritonclient.http

        parts = list[NDArray[np.float32]]()
        names = ("logits", "tag_scores") if self.contract.tags else ("logits",)
        outputs = [tritonclient.http.InferRequestedOutput(name) for name in names]
        for first in range(0, len(mel_db), MAX_BATCH_WINDOWS):
            windows = np.ascontiguousarray(mel_db[first : first + MAX_BATCH_WINDOWS])
            model_input = tritonclient.http.InferInput("mel_db", list(windows.shape), "FP32")
            model_input.set_data_from_numpy(windows)
            response = self._request(partial(client.infer, self.model, [model_input], outputs=outputs))
            columns = [self._request(partial(response.as_numpy, name)) for name in names]
            if any(part is None or part.ndim != 2 or len(part) != len(windows) for part in columns):
                raise ServerUnavailableError(f"it returned no row for each window of the outputs {', '.join(names)}")
            parts.append(np.concatenate(columns, axis=1))
        shape = (len(mel_db), len(self.contract.trained_labels) + len(self.contract.tags))
        logits = np.concatenate(parts)
        if logits.shape != shape or not np.isfinite(logits).all():
            raise ServerUnavailableError(f"it returned logits of shape {logits.shape}; expected finite ones of {shape}")
        return logits.astype(np.float32, copy=False)

    def connect(self, patience_s: float = REQUEST_TIMEOUT_S) -> Any:
        """Return a client for the calling thread; gevent's sockets belong to one thread."""
        import tritonclient.http

        return tritonclient.http.InferenceServerClient(
            self.address, connection_timeout=patience_s, network_timeout=patience_s
        )

    def _request(self, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except Exception as error:  # errors of sockets, gevent and the client have no common base class
            raise ServerUnavailableError(" ".join(str(error).split()) or type(error).__name__) from error


class RemoteClassifier:
    """A classifier on a server, with a local one while the server is unavailable; satisfies `types.Classifier`.

    Args:
        server: The model on the server.
        local: The local model.
        activate: Computes scores from logits.
        retry_s: First delay before an unavailable server is checked again.

    Attributes:
        obstacle: Reason why the server is not used; None while it is used.

    Raises:
        ModelError: The server has another model.
    """

    def __init__(self, server: TritonServer, local: Classifier, activate: Activate, retry_s: float = RETRY_S) -> None:
        self._server, self._local, self._activate = server, local, activate
        self._probe = _reference_batch(local)  # computed here, since an accelerator's session belongs to one thread
        self._backoff = Backoff(retry_s, LONGEST_RETRY_S)
        self._recovered_s = -LONGEST_RETRY_S
        self._clients = threading.local()
        self._available = False
        self.obstacle: str | None = None
        try:
            server.check(self._probe, activate)
            self._available = True
        except ServerUnavailableError as error:
            self._fall_back(error)
        self._latest_provider = self._remote_provider if self._available else local.provider

    @property
    def contract(self) -> ModelContract:
        """The contract of the model."""
        return self._local.contract

    @property
    def provider(self) -> str:
        """Provider of the latest windows: the server, or the local model's provider."""
        return self._latest_provider

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute scores (N, K) in [0, 1] of N windows' mel decibels (N, C, M, T), on the server if it is available.

        Raises:
            ModelError: The local model failed.
        """
        if self._available:
            try:
                scores = self._activate(self._server.logits(self._client(), mel_db))
            except ServerUnavailableError as error:
                self._fall_back(error)
            else:
                self._latest_provider = self._remote_provider
                return scores
        self._latest_provider = self._local.provider
        return self._local.classify(mel_db)

    @property
    def _remote_provider(self) -> str:
        return f"{SCHEME}{self._server.address}"

    def _client(self) -> Any:
        if not hasattr(self._clients, "current"):
            self._clients.current = self._server.connect()
        return self._clients.current

    def _fall_back(self, error: Exception) -> None:
        """Use the local model until the server passes the check again."""
        self._available, self.obstacle = False, str(error)
        vars(self._clients).pop("current", None)
        if time.monotonic() - self._recovered_s >= LONGEST_RETRY_S:
            self._backoff.reset()
        threading.Thread(target=self._check_until_available, daemon=True).start()

    def _check_until_available(self) -> None:
        pause = threading.Event()
        pause_s = self._backoff.next_s()
        while not pause.wait(pause_s):
            try:
                self._server.check(self._probe, self._activate)
            except Exception as error:  # noqa: BLE001  # whatever it is, the server may be back later
                self.obstacle = str(error) or type(error).__name__
            else:
                self._recovered_s = time.monotonic()
                self._available, self.obstacle = True, None
                return


def connect_remote(url: str, local: Classifier, activate: Activate) -> RemoteClassifier:
    """Connect to the server at `triton://HOST:PORT`, for the model with the local model's name.

    Raises:
        ConfigError: The client is not installed.
        ModelError: The server has another model.
    """
    try:
        import tritonclient.http  # noqa: F401  # a missing package is reported at the start
    except ImportError as error:
        raise ConfigError(
            f"--backend {url} needs the Python package tritonclient, which is not installed. Install it with "
            f"{install_command('triton')}."
        ) from error
    return RemoteClassifier(
        TritonServer(url.removeprefix(SCHEME).rstrip("/"), local.contract.name, local.contract), local, activate
    )


def _reference_batch(local: Classifier) -> ReferenceBatch:
    noise_db = np.random.default_rng(0).uniform(-80, 0, local.contract.features.input_shape).astype(np.float32)
    mel_db = np.stack([np.full_like(noise_db, -100), noise_db])
    return ReferenceBatch(mel_db, local.classify(mel_db))
