"""Tags of a model, and tags as classes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from soundwatch.daemon.core.errors import ConfigError, ContractError
from soundwatch.daemon.core.model.contract import decode_contract, encode_contract
from soundwatch.daemon.core.model.tags import highest_tags, split_outputs, with_tag_classes
from support.band_model import TAGGED_CONTRACT
from support.fakes import SMALL_CONTRACT


def test_a_tag_becomes_a_class_after_those_of_the_model() -> None:
    contract = with_tag_classes(TAGGED_CONTRACT, ["glass", "hum"])
    assert contract.labels == ("low", "high", "glass", "hum")
    assert contract.thresholds == {"low": 0.5, "high": 0.5, "glass": 0.5, "hum": 0.5}
    assert (contract.trained_labels, contract.tags) == (TAGGED_CONTRACT.labels, TAGGED_CONTRACT.tags)
    values, tags = split_outputs(contract, np.array([[1, 2, 3, 4, 5, 6]], np.float32))
    assert (values.tolist(), tags.tolist()) == ([[1, 2, 6, 3]], [[3, 4, 5, 6]])


def test_no_tags_change_nothing() -> None:
    assert with_tag_classes(SMALL_CONTRACT, []) == SMALL_CONTRACT
    values, tags = split_outputs(SMALL_CONTRACT, np.array([[1, 2]], np.float32))
    assert (values.tolist(), tags.shape) == ([[1, 2]], (1, 0))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (["glas"], "has no such tag; did you mean glass? its tags are hum, whistle, speech, glass."),
        (["jackhammer"], "has no such tag; its tags are hum, whistle, speech, glass."),
        (["low"], "low is a class of double@sha256:abababababab already."),
        (["hum", "hum"], "name each tag once"),
    ],
)
def test_a_name_that_is_no_tag_is_refused_with_the_nearest(tags: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        with_tag_classes(TAGGED_CONTRACT, tags)


def test_tags_of_a_model_without_any_are_refused() -> None:
    with pytest.raises(ConfigError, match="the model double@sha256:abababababab has no tags"):
        with_tag_classes(SMALL_CONTRACT, ["glass"])


def test_the_highest_tags_come_first_without_the_class() -> None:
    tags, values = ("a", "b", "c", "d"), (0.1, 0.9, 0.5, 0.7)
    assert highest_tags(tags, values) == (("b", 0.9), ("d", 0.7), ("c", 0.5))
    assert highest_tags(tags, values, except_for="b") == (("d", 0.7), ("c", 0.5), ("a", 0.1))


def test_a_tag_that_is_a_label_too_is_refused_in_a_file() -> None:
    text = encode_contract(TAGGED_CONTRACT).replace('"hum"', '"low"')
    with pytest.raises(ContractError, match=r"m\.onnx is inconsistent: low is both a label and a tag"):
        decode_contract(text, "m.onnx")


def test_a_contract_of_before_tags_reads() -> None:
    text = encode_contract(SMALL_CONTRACT).replace(',"tags":[]', "")
    assert "tags" not in text
    assert decode_contract(text, "m.onnx") == SMALL_CONTRACT
