"""Features before a network's head, of all windows of a recording, as the daemon cuts them.

Conventions: features are (W, P) float32 of W windows, from a network in eval mode without recent frames.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Block, Samples, read_only
from soundwatch.daemon.pipeline.pipeline import OFFLINE_BATCH_WINDOWS, batched_features, features_only
from soundwatch.training.data.datasets.other_sounds import Features
from soundwatch.training.model.network import maps_of, pooled_of


@torch.inference_mode()
def head_features(network: nn.Sequential, spec: FeatureSpec, samples: Samples, device: torch.device) -> Features:
    """Compute the features (W, P) of a recording (C, S) at the rate of the front end; the end pads a short one."""
    blocks = [Block(read_only(np.ascontiguousarray(samples, np.float32)), spec.rate_hz, 0), None]
    head = network[-1]
    assert isinstance(head, nn.Linear)
    rows = [np.zeros((0, head.in_features), np.float32)]
    for _, items in batched_features(blocks, spec, OFFLINE_BATCH_WINDOWS):
        windows = [window.mel_db for window in features_only(items)]
        if windows:
            mel_db = torch.from_numpy(np.stack(windows)).to(device)
            rows.append(pooled_of(network, maps_of(network, mel_db)).cpu().numpy())
    return np.concatenate(rows)
