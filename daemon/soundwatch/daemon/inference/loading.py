"""Open the classifier that a configuration names."""

from __future__ import annotations

from functools import partial
from typing import cast

from soundwatch.daemon.core.config import ModelConfig
from soundwatch.daemon.core.types import Classifier
from soundwatch.daemon.inference.classifier import Backend, activate, load_classifier_file
from soundwatch.daemon.inference.triton_client import SCHEME, connect_remote


def load_classifier(config: ModelConfig) -> Classifier:
    """The classifier that the configuration names.

    Raises:
        ModelError: The file cannot be used.
        ProviderError: What was asked to run it cannot be had.
        ConfigError: It is to run on a server, and the client for that is not installed.
    """
    remote = config.backend if config.backend.startswith(SCHEME) else None
    backend = cast(Backend, "auto" if remote else config.backend)  # the configuration's pattern lets no other pass
    local = load_classifier_file(config.file, config.provider, backend, config.require_cuda, config.threads)
    return connect_remote(remote, local, partial(activate, activation=local.contract.activation)) if remote else local
