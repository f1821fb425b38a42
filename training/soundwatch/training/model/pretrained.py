"""Initial weights of fine-tuning, from a checkpoint or an exported model file.

Conventions: the network and the front end are the model's; only the head, the last layer, is new. The shipped
recipe `finetune` is adapted to them; a user's recipe must have them.
An ONNX file has its batch norms folded into the convolutions, so its weights cannot be compared with
the contract's hash. They are loaded into the convolutions, the batch norms become identities plus the folded bias,
and the resulting network must reproduce the scores of the file. This is a stronger proof than a name or a hash.
Source: the exporter calls a folded convolution's bias NAME.weight_bias.
Does not: train; the head's warm-up is the loop's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.daemon.core.model.contract import INT8_SUFFIX, ModelContract
from soundwatch.training.model.checkpoint import FILE_NAME, load_network, read_checkpoint
from soundwatch.training.model.network import build_network
from soundwatch.training.model.recipe import Recipe, decode_recipe
from soundwatch.training.model.recipe_file import load_recipe, shipped_recipes

SCORE_LIMIT: Final = 1e-3


@dataclass(frozen=True, slots=True)
class PretrainedModel:
    """Pretrained network.

    Attributes:
        contract: Its contract.
        body: State of all layers but the head.
    """

    contract: ModelContract
    body: dict[str, Tensor]


def adapt_recipe(recipe: Recipe, model: str) -> Recipe:
    """Return a fine-tuning recipe with the front end and the network of the pretrained model.

    Raises:
        ConfigError: The recipe of the model is not a shipped one.
        ModelError: The model does not exist or cannot be read.
    """
    from soundwatch.daemon.inference.classifier import load_classifier_file, resolve_model

    path = resolve_model(model)
    if path.suffix == ".pt":
        before = decode_recipe(read_checkpoint(path).recipe)
    else:
        origin = load_classifier_file(path, "cpu").contract.provenance
        if origin.recipe not in shipped_recipes():
            raise ConfigError(
                f"{path} was trained by recipe {origin.recipe}, which is not shipped, so its network is not known. "
                "Start from its checkpoint, or give --recipe with its features and network and a `finetune:` section."
            )
        before = load_recipe(origin.recipe)
    return msgspec.structs.replace(recipe, features=before.features, network=before.network)


def open_model(model: str | Path) -> tuple[nn.Sequential, ModelContract]:
    """Open the network of a checkpoint, an ONNX file or a shipped model in torch, in eval mode.

    Raises:
        ConfigError: The recipe of an ONNX file is not a shipped one.
        ModelError: The model does not exist or cannot be read.
    """
    from soundwatch.daemon.inference.classifier import resolve_model

    if Path(model).suffix == ".pt":
        return load_network(Path(model))
    path = resolve_model(model)
    if path.is_dir():
        raise ModelError(f"{path} is a folder; give its checkpoint, {path / FILE_NAME}.")
    if path.suffix != ".onnx":
        raise ModelError(f"{path} is neither a checkpoint (.pt) nor an ONNX file (.onnx); give one of them.")
    return _from_onnx(path, adapt_recipe(load_recipe("finetune"), str(path)))


def load_pretrained(model: str, recipe: Recipe) -> PretrainedModel:
    """Read the weights of a checkpoint, a model file or a shipped model.

    Raises:
        ConfigError: The recipe has no `finetune` section, or has another front end or network.
        ModelError: The file does not exist or cannot be read.
    """
    from soundwatch.daemon.inference.classifier import resolve_model

    path = resolve_model(model)
    if recipe.finetune is None:
        raise ConfigError(
            f"--init-from, and recipe {recipe.name} does not say how to fine-tune; leave out --recipe, or give it a "
            "`finetune:` section like that of the recipe finetune."
        )
    network, contract = load_network(path) if path.suffix == ".pt" else _from_onnx(path, recipe)
    _refuse_other_features(contract, recipe, path)
    try:
        fresh = build_network(recipe, len(contract.labels))
        fresh.load_state_dict(network.state_dict())
    except RuntimeError as error:
        raise ConfigError(_other_network(path, recipe, contract)) from error
    return PretrainedModel(contract, backbone_state(fresh))


def backbone_state(network: nn.Sequential) -> dict[str, Tensor]:
    """Return the state of all layers but the head."""
    head = f"{len(network) - 1}."
    return {name: value for name, value in network.state_dict().items() if not name.startswith(head)}


def _refuse_other_features(contract: ModelContract, recipe: Recipe, path: Path) -> None:
    """Refuse a model with another front end: its weights do not fit other features."""
    names = [
        name
        for name in recipe.features.__struct_fields__
        if getattr(contract.features, name) != getattr(recipe.features, name)
    ]
    if names:
        seen = ", ".join(
            f"{name} {getattr(contract.features, name)}, not {getattr(recipe.features, name)}" for name in names
        )
        raise ConfigError(
            f"{path} has another front end than recipe {recipe.name}: {seen}. Fine-tune with a recipe `like:` "
            f"the one it was trained by ({contract.provenance.recipe})."
        )


def _other_network(path: Path, recipe: Recipe, contract: ModelContract) -> str:
    return (
        f"The weights in {path} do not fit the network of recipe {recipe.name}. Fine-tune with a recipe `like:` the "
        f"one it was trained by ({contract.provenance.recipe}, sha256 {contract.provenance.recipe_sha256[:12]})."
    )


def _from_onnx(path: Path, recipe: Recipe) -> tuple[nn.Sequential, ModelContract]:
    """Build a network that reproduces the scores of an ONNX file.

    Raises:
        ConfigError: The network of the recipe gives other scores, or the file is in 8-bit integers.
        ModelError: The file cannot be read.
    """
    import onnx

    from soundwatch.daemon.inference.classifier import load_classifier_file

    classifier = load_classifier_file(path, "cpu")
    contract = classifier.contract
    _refuse_other_features(contract, recipe, path)
    if contract.name.endswith(INT8_SUFFIX):
        raise ConfigError(
            f"{path} is in 8-bit integers. Start from the network that it was made of, "
            f"{contract.name.removesuffix(INT8_SUFFIX)}."
        )
    graph = onnx.load(str(path)).graph
    network = build_network(recipe, len(contract.labels)).eval()
    values = {
        _plain_name(item.name, network): torch.from_numpy(onnx.numpy_helper.to_array(item).copy())
        for item in graph.initializer
    }
    try:
        network.load_state_dict(_unfolded(network, values))
    except (RuntimeError, KeyError) as error:
        raise ConfigError(_other_network(path, recipe, contract)) from error
    mel_db = np.random.default_rng(1).normal(-40, 15, (4, *contract.features.input_shape)).astype(np.float32)
    with torch.inference_mode():
        logits = network(torch.from_numpy(mel_db))
    scores = logits.softmax(dim=1) if contract.activation == "softmax" else logits.sigmoid()
    if not np.allclose(scores.numpy(), classifier.classify(mel_db)[:, : scores.shape[1]], rtol=0, atol=SCORE_LIMIT):
        raise ModelError(
            f"The weights of {path} in the network of recipe {recipe.name} give other scores than the file itself. "
            "Start from the checkpoint that it was exported from."
        )
    return network, contract


def _plain_name(name: str, network: nn.Sequential) -> str:
    """Return the name of a parameter in a network without tags, whose body and head are parts of one with tags."""
    if name.startswith("head."):
        return f"{len(network) - 1}.{name.removeprefix('head.')}"
    return name.removeprefix("body.")


def _unfolded(network: nn.Sequential, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a file's initializers to a state dict: a folded batch norm only adds the folded bias."""
    state = dict(network.state_dict())
    bias: Tensor | None = None
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and f"{name}.running_mean" not in values:
            if bias is None:
                raise KeyError(name)
            state |= {
                f"{name}.weight": torch.ones_like(bias),
                f"{name}.bias": bias,
                f"{name}.running_mean": torch.zeros_like(bias),
                f"{name}.running_var": torch.full_like(bias, 1 - module.eps),
            }
        else:
            keys = [key for key, _ in (*module.named_parameters(name, False), *module.named_buffers(name, False))]
            state |= {key: values[key] for key in keys if not key.endswith("num_batches_tracked")}
            bias = values.get(f"{name}.weight_bias", bias)
    return state
