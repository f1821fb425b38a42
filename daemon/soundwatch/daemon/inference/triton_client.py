"""A network that runs on an inference server, and on this machine whenever the server is away.

Conventions: the daemon computes mel decibels as its model's contract says; the server gives logits for them, by the
KServe v2 protocol over HTTP. A backend `triton://HOST:PORT` names it. The same model's file has to be here: its
contract is what the server's is held against, and its network is what runs while the server is away.
Rule: a server is used only once it has shown the same contract, and the same scores for some probes. When it does not
answer in time, the windows at hand are classified here, and so are all others until it has shown that again, which is
tried every few seconds, and less often where it leaves again and again. So no window is ever lost or waited for longer
than `REQUEST_TIMEOUT_S`.
Source: NVIDIA's client `tritonclient`; `soundwatch export --format triton` writes what the server serves.
Does not: encrypt, or ask for a password; put such a server behind a tunnel. What leaves this machine is mel decibels,
from which speech can be guessed at: use one of your own.
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

from soundwatch.daemon.core.backoff import Backoff
from soundwatch.daemon.core.contract import CONTRACT_KEY, ModelContract, decode_contract
from soundwatch.daemon.core.errors import ConfigError, ContractError, ModelError
from soundwatch.daemon.core.extras import install_command
from soundwatch.daemon.core.types import Classifier

SCHEME: Final = "triton://"
REQUEST_TIMEOUT_S: Final = 0.5  # while sound waits
PROBE_TIMEOUT_S: Final = 5.0  # while none does
RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 60.0
MAX_SCORE_DIFFERENCE: Final = 1e-3  # what an export has to keep to as well
MAX_BATCH_WINDOWS: Final = 64  # of a request: the `max_batch_size` that export writes

Activate = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class ServerUnavailableError(Exception):
    """The server cannot be used now; the message says why. It never leaves this module."""


@dataclass(frozen=True, slots=True)
class ReferenceBatch:
    """Windows (N, C, M, T) of digital silence and of noise in decibels, and their scores (N, K) by the model here."""

    mel_db: NDArray[np.float32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TritonServer:
    """A server's model.

    Attributes:
        address: HOST:PORT.
        model: Its name there.
        contract: That it has to show.
    """

    address: str
    model: str
    contract: ModelContract

    def check(self, probe: ReferenceBatch, activate: Activate) -> None:
        """Find out whether it is there and computes what this machine does.

        Raises:
            ServerUnavailableError: It does not answer as it should.
            ModelError: It answers, and is another model.
        """
        client = self.connect(PROBE_TIMEOUT_S)
        try:
            config = self._ask(partial(client.get_model_config, self.model))
            text = config.get("parameters", {}).get(CONTRACT_KEY, {}).get("string_value", "")
            where = f"{self.model} on {self.address}"
            if not text:
                raise ContractError(f"{where} shows no contract. Serve what `soundwatch export --format triton` wrote.")
            shown = decode_contract(text, where)
            if shown.weights_sha256 != self.contract.weights_sha256 or shown.features != self.contract.features:
                raise ModelError(
                    f"{where} is {shown.identity}, and this machine's is {self.contract.identity}: their scores would "
                    "not be one stream's. Serve and name the same model, with --model or model.file."
                )
            apart = float(np.abs(activate(self.logits(client, probe.mel_db)) - probe.scores).max())
            began_s = time.monotonic()
            self.logits(client, probe.mel_db)  # once more, since a server's first time may take longer
            took_s = time.monotonic() - began_s
            if not apart <= MAX_SCORE_DIFFERENCE:
                raise ModelError(
                    f"{where} gives scores {apart:.2g} from this machine's, {MAX_SCORE_DIFFERENCE:g} at most were "
                    "wanted. Its files are not what its contract says; export them again."
                )
            if took_s > REQUEST_TIMEOUT_S:
                raise ServerUnavailableError(
                    f"answers after {took_s:.2f} s; {REQUEST_TIMEOUT_S:g} s is the longest that sound may wait"
                )
        finally:
            client.close()

    def logits(self, client: Any, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute the network's outputs (N, K + G) of N windows' mel decibels (N, C, M, T).

        Raises:
            ServerUnavailableError: They did not come in time, or are not what was wanted.
        """
        import tritonclient.http

        parts = list[NDArray[np.float32]]()
        names = ("logits", "tag_scores") if self.contract.tags else ("logits",)
        wanted = [tritonclient.http.InferRequestedOutput(name) for name in names]
        for first in range(0, len(mel_db), MAX_BATCH_WINDOWS):
            windows = np.ascontiguousarray(mel_db[first : first + MAX_BATCH_WINDOWS])
            given = tritonclient.http.InferInput("mel_db", list(windows.shape), "FP32")
            given.set_data_from_numpy(windows)
            answer = self._ask(partial(client.infer, self.model, [given], outputs=wanted))
            columns = [self._ask(partial(answer.as_numpy, name)) for name in names]
            if any(part is None or part.ndim != 2 or len(part) != len(windows) for part in columns):
                raise ServerUnavailableError(f"gave no rows for each window of the outputs {', '.join(names)}")
            parts.append(np.concatenate(columns, axis=1))
        shape = (len(mel_db), len(self.contract.trained_labels) + len(self.contract.tags))
        logits = np.concatenate(parts)
        if logits.shape != shape or not np.isfinite(logits).all():
            raise ServerUnavailableError(f"gave logits of shape {logits.shape}; finite ones of {shape} were wanted")
        return logits.astype(np.float32, copy=False)

    def connect(self, patience_s: float = REQUEST_TIMEOUT_S) -> Any:
        """A client, for the thread that asks for it: gevent's sockets are their thread's."""
        import tritonclient.http

        return tritonclient.http.InferenceServerClient(
            self.address, connection_timeout=patience_s, network_timeout=patience_s
        )

    def _ask(self, request: Callable[[], Any]) -> Any:
        try:
            return request()
        except Exception as error:  # sockets', gevent's and the client's own have nothing in common
            raise ServerUnavailableError(" ".join(str(error).split()) or type(error).__name__) from error


class RemoteClassifier:
    """A classifier on a server, with one here for when the server is away; satisfies `types.Classifier`.

    Args:
        server: That computes.
        local: The same model here.
        activate: Makes scores of logits.
        retry_s: How long to wait before asking an absent server again.

    Raises:
        ModelError: The server answers, and has another model.
    """

    def __init__(self, server: TritonServer, local: Classifier, activate: Activate, retry_s: float = RETRY_S) -> None:
        self._server, self._local, self._activate = server, local, activate
        self._probe = _probe(local)  # now: an accelerator's session is its thread's
        self._backoff = Backoff(retry_s, LONGEST_RETRY_S)
        self._back_s = -LONGEST_RETRY_S
        self._clients = threading.local()
        self._present = False
        self.obstacle: str | None = None
        try:
            server.check(self._probe, activate)
            self._present = True
        except ServerUnavailableError as error:
            self._leave(error)
        self._ran = self._remote if self._present else local.provider

    @property
    def contract(self) -> ModelContract:
        """The local model's, which the server's equals."""
        return self._local.contract

    @property
    def provider(self) -> str:
        """What ran the latest windows: the server, or what runs the local model."""
        return self._ran

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N, K) in [0, 1] of N windows' mel decibels (N, C, M, T), by the server if it answers.

        Raises:
            ModelError: The local network failed.
        """
        if self._present:
            try:
                scores = self._activate(self._server.logits(self._client(), mel_db))
            except ServerUnavailableError as error:
                self._leave(error)
            else:
                self._ran = self._remote
                return scores
        self._ran = self._local.provider
        return self._local.classify(mel_db)

    @property
    def _remote(self) -> str:
        return f"{SCHEME}{self._server.address}"

    def _client(self) -> Any:
        if not hasattr(self._clients, "own"):
            self._clients.own = self._server.connect()
        return self._clients.own

    def _leave(self, error: Exception) -> None:
        """Do without the server until it has shown itself again."""
        self._present, self.obstacle = False, str(error)
        vars(self._clients).pop("own", None)
        if time.monotonic() - self._back_s >= LONGEST_RETRY_S:
            self._backoff.reset()
        threading.Thread(target=self._wait_for_it, daemon=True).start()

    def _wait_for_it(self) -> None:
        away = threading.Event()
        pause_s = self._backoff.next_s()
        while not away.wait(pause_s):
            try:
                self._server.check(self._probe, self._activate)
            except (ServerUnavailableError, ModelError) as error:
                self.obstacle = str(error)
            else:
                self._back_s = time.monotonic()
                self._present, self.obstacle = True, None
                return


def connect_remote(url: str, local: Classifier, activate: Activate) -> RemoteClassifier:
    """The model of the local one's name on the server at `triton://HOST:PORT`.

    Raises:
        ConfigError: The client is not installed.
        ModelError: The server answers, and has another model.
    """
    try:
        import tritonclient.http  # noqa: F401  # said now, not when the first window is there
    except ImportError as error:
        raise ConfigError(
            f"--backend {url} needs the Python package tritonclient, which is not installed. Install it with "
            f"{install_command('triton')}."
        ) from error
    return RemoteClassifier(
        TritonServer(url.removeprefix(SCHEME).rstrip("/"), local.contract.name, local.contract), local, activate
    )


def _probe(local: Classifier) -> ReferenceBatch:
    noise_db = np.random.default_rng(0).uniform(-80, 0, local.contract.features.input_shape).astype(np.float32)
    mel_db = np.stack([np.full_like(noise_db, -100), noise_db])
    return ReferenceBatch(mel_db, local.classify(mel_db))
