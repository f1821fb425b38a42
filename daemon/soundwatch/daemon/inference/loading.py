"""Loading of the classifier that a configuration names."""

from __future__ import annotations

from functools import partial
from typing import cast

from soundwatch.daemon.config.config import Config, ModelConfig
from soundwatch.daemon.core.errors import ConfigError, ProviderError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.tags import with_tag_classes
from soundwatch.daemon.inference.classifier import Backend, LoadedModel, activate_classes, load_classifier_file
from soundwatch.daemon.inference.providers import CUDA, CardOptions
from soundwatch.daemon.inference.triton_client import SCHEME, connect_remote


def load_classifier(config: Config) -> Classifier:
    """Load the configured classifier, whose classes include the tags of `detection.tags`.

    Raises:
        ModelError: The file cannot be used.
        ProviderError: The requested provider cannot be used.
        ConfigError: Another model is pinned, a tag is unknown, or the client of a remote server is not installed.
    """
    backend = config.model.backend
    remote = backend if backend.startswith(SCHEME) else None
    local = load_local_classifier(config.model)
    local = local.with_contract(with_tag_classes(local.contract, config.detection.tags))
    return connect_remote(remote, local, partial(activate_classes, contract=local.contract)) if remote else local


def load_local_classifier(config: ModelConfig) -> LoadedModel:
    """Load the configured model file, which runs here even if a server is configured, and check its pin.

    Raises:
        ModelError: The file cannot be used.
        ProviderError: The requested provider cannot be used.
        ConfigError: Another model is pinned.
    """
    backend = cast(Backend, "auto" if config.backend.startswith(SCHEME) else config.backend)  # checked by its pattern
    card = CardOptions(config.device_id, config.gpu_memory_bytes)
    model = load_classifier_file(config.file, requested_provider(config), backend, config.threads, card)
    if config.sha256 is not None and not model.content_sha256.startswith(config.sha256.lower()):
        raise ConfigError(
            f"model.sha256 pins {config.sha256}, and the tensors and graph of {config.file} have the hash "
            f"{model.content_sha256}. Give the pinned file, set the key to this hash, or remove it to accept any model."
        )
    return model


def requested_provider(config: ModelConfig) -> str:
    """Return the requested provider; `require_cuda` is `provider: cuda`.

    Raises:
        ProviderError: CUDA is required, and another provider is requested.
    """
    if not config.require_cuda:
        return config.provider
    if config.provider not in ("auto", "cuda", CUDA):
        raise ProviderError(f"CUDA is required, and provider {config.provider} is requested; remove one of the two.")
    return "cuda"
