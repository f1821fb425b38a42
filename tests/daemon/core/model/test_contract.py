from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.core.errors import ContractError
from soundwatch.daemon.core.model.contract import EvaluationScore, ModelContract, decode_contract, encode_contract
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from support.fakes import SMALL_CONTRACT, SMALL_PROVENANCE, SMALL_SPEC

SMALL_PROVENANCE_TREE = msgspec.to_builtins(SMALL_PROVENANCE)
WIDE = msgspec.structs.replace(
    SMALL_SPEC, rate_hz=44100, channels=2, window_ms=4000, n_fft=1024, hop_samples=512, n_mels=64, mel_max_hz=22050
)


def test_derived_numbers_are_exact() -> None:
    assert (WIDE.window_samples, WIDE.n_frames) == (176_400, 345)
    assert WIDE.input_shape == (2, 64, 345)
    assert WIDE.window_hop_samples == 8 * 512


@pytest.mark.parametrize(("rate_hz", "window_ms", "samples"), [(22050, 4000, 88_200), (11025, 400, 4410), (8000, 1, 8)])
def test_a_window_is_a_whole_number_of_samples(rate_hz: int, window_ms: int, samples: int) -> None:
    changes = {"n_fft": 4, "hop_samples": 1, "window_hop_frames": 1, "mel_max_hz": 4000}
    spec = msgspec.structs.replace(SMALL_SPEC, rate_hz=rate_hz, window_ms=window_ms, **changes)
    assert spec.window_samples == samples


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({name: wrong}, f"{name} is {wrong}; it must be 1 or more")
            for name in ("rate_hz", "channels", "window_ms", "window_hop_frames", "n_fft", "hop_samples", "n_mels")
            for wrong in (0, -1)
        ),
        ({"power_floor": 0.0}, "power_floor is 0.0; it must be greater than 0"),
        ({"normalisation_floor_db": -1.0}, "normalisation_floor_db is -1.0; it must be greater than 0"),
        ({"power_floor": 1e300}, "power_floor is 1e+300; it must be greater than 0, and within (1e-30, 1000000.0)"),
        ({"top_db": 1e300}, "top_db is 1e+300"),
        ({"normalisation_floor_db": 1e-300}, "normalisation_floor_db is 1e-300"),
        ({"top_db": 0.0}, "top_db is 0.0; it must be greater than 0, or null"),
        ({"rate_hz": 22050, "window_ms": 333}, "window_ms 333 at rate_hz 22050 is 7342.65 samples"),
        ({"mel_min_hz": -1.0}, "mel_min_hz -1.0 and mel_max_hz 4000.0 must rise within 0 to 4000.0 Hz"),
        ({"mel_min_hz": 4000.0}, "must rise within"),
        ({"mel_max_hz": 4000.5}, "mel_max_hz 4000.5 must rise within 0 to 4000.0 Hz, half of rate_hz 8000"),
        ({"n_fft": 6400}, "n_fft 6400 needs a window longer than 3200 samples to reflect; window_ms 400 gives 3200"),
        ({"window_hop_frames": 33}, "window_hop_frames 33 is 3300 samples, longer than the window's 3200"),
    ],
)
def test_wrong_numbers_are_refused_with_the_expected_ones(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=re.escape(message)):
        msgspec.structs.replace(SMALL_SPEC, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": (), "thresholds": {}}, "labels are []; at least one is needed"),
        ({"labels": ("low", "low")}, "no two may be equal"),
        ({"tags": ("hum", "hum")}, "tags are ['hum', 'hum']; no two may be equal"),
        ({"thresholds": {"low": 0.5}}, "thresholds name ['low']; they must name each label once: ['high', 'low']"),
        ({"thresholds": {"low": 0.5, "high": 0.5, "mid": 0.5}}, "must name each label once"),
        ({"thresholds": {"low": 0.0, "high": 0.5}}, "threshold of low is 0.0; it must lie in (0, 1]"),
        ({"thresholds": {"low": 0.5, "high": 1.1}}, "threshold of high is 1.1"),
        ({"thresholds": {"low": 0.5, "high": float("nan")}}, "threshold of high is nan"),
    ],
)
def test_labels_and_thresholds_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError, match=re.escape(message)):
        msgspec.structs.replace(SMALL_CONTRACT, **changes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", "Input data was truncated"),
        ('"schema":', '"schema', "does not read"),
        ("soundwatch.model/1", "soundwatch.model/9", "Invalid enum value 'soundwatch.model/9'"),
        ('"n_mels":16', '"n_mels":16,"n_mfcc":13', "unknown field `n_mfcc`"),
        ('"n_mels":16,', "", "missing required field `n_mels`"),
        ('"n_mels":16', '"n_mels":"many"', "Expected `int`, got `str`"),
        ('"sigmoid"', '"relu"', "Invalid enum value 'relu'"),
        ('"htk"', '"bark"', "Invalid enum value 'bark'"),
        ('"power_floor":1e-10', '"power_floor":NaN', "malformed"),
        ('"n_mels":16', '"n_mels":0', "The contract in m.onnx is inconsistent: n_mels is 0"),
    ],
)
def test_text_that_is_no_contract_is_refused_with_its_file(old: str, new: str, message: str) -> None:
    text = encode_contract(SMALL_CONTRACT)
    assert old in text
    with pytest.raises(ContractError, match=re.escape(message)) as caught:
        decode_contract(text.replace(old, new) if old else "", "m.onnx")
    assert "m.onnx" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../../up"}, "name is '../../up'; letters, digits, dots"),
        ({"name": ".hidden"}, "name is '.hidden'"),
        ({"name": ""}, "name is ''"),
        ({"name": "ur\u202eban"}, r"name is 'ur\u202eban'"),
        ({"name": "x" * 10_000_000}, "bytes; at most 4194304 were expected"),
        ({"name": "x" * 129}, "(131 characters); letters"),
        ({"weights_sha256": "../x"}, "weights_sha256 is '../x'; 64 digits"),
        ({"labels": ["low", "a/b"], "thresholds": {"low": 0.5, "a/b": 0.5}}, "labels has 'a/b'; letters"),
        ({"labels": ["low", ""], "thresholds": {"low": 0.5, "": 0.5}}, "labels has ''"),
        ({"labels": ["low", "\x1b[2J"], "thresholds": {"low": 0.5, "\x1b[2J": 0.5}}, r"labels has '\x1b[2J'"),
        ({"labels": ["é", "e\u0301"], "thresholds": {"é": 0.5, "e\u0301": 0.5}}, "in different forms of Unicode"),
        ({"tags": ["low"]}, "low is both a label and a tag"),
        ({"tags": ["a\nb"]}, r"tags has 'a\nb'"),
        ({"tags": [f"t{k}" for k in range(10_001)]}, "tags has 10001 names; at most 10000"),
        ({"provenance": SMALL_PROVENANCE_TREE | {"soundwatch": "1\x1b[31m"}}, r"provenance.soundwatch is '1\x1b[31m'"),
        ({"provenance": SMALL_PROVENANCE_TREE | {"sources": ["\u200f"]}}, r"provenance.sources is '\u200f'"),
        ({"provenance": SMALL_PROVENANCE_TREE | {"data": "d" * 20_001}}, "at most 20000 printable characters"),
    ],
)
def test_names_and_texts_that_other_programs_would_act_on_are_refused(changes: dict[str, Any], message: str) -> None:
    tree = msgspec.json.decode(encode_contract(SMALL_CONTRACT)) | changes
    with pytest.raises(ContractError, match=re.escape(message)) as caught:
        decode_contract(msgspec.json.encode(tree), "m.onnx")
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


OPERATING_POINT = {"threshold": 0.5, "found": 0.7, "false_per_h": 1.0}
CLASS_OPERATION = {"low": 0.4, "high": 0.6, "found": 0.7, "false_per_h": 1.0, "curve": [OPERATING_POINT]}
OPERATION = {
    "price": 0.01,
    "measured_on": "a street",
    "hours": 6.0,
    "found": 0.7,
    "false_per_h": 1.0,
    "clips": 3,
    "raised_share": 0.1,
    "classes": dict.fromkeys(SMALL_CONTRACT.labels, CLASS_OPERATION),
}
SCORE = {"trained_on": "a", "tested_on": "b", "clips": 3, "accuracy": 0.5, "macro_f1": 0.5, "recall": {"low": 0.5}}


def with_operation(**changes: Any) -> dict[str, Any]:
    return {"operation": OPERATION | changes}


def with_class(**changes: Any) -> dict[str, Any]:
    return with_operation(classes=dict.fromkeys(SMALL_CONTRACT.labels, CLASS_OPERATION | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            (with_operation(**{key: -1}), f"at `$.operation.{key}`")
            for key in ("price", "hours", "false_per_h", "clips")
        ),
        *((with_operation(**{key: 1.5}), f"at `$.operation.{key}`") for key in ("found", "raised_share")),
        *((with_class(**{key: 1.5}), f"at `$.operation.classes[...].{key}`") for key in ("low", "high", "found")),
        (with_class(false_per_h=-0.1), "Expected `float` >= 0.0 - at `$.operation.classes[...].false_per_h`"),
        (with_class(curve=[OPERATING_POINT | {"found": -1}]), "at `$.operation.classes[...].curve[0].found`"),
        (with_operation(classes={"other": CLASS_OPERATION}), "operation.classes name ['other']; they must name each"),
        ({"scores": [SCORE | {"accuracy": -0.5}]}, "Expected `float` >= 0.0 - at `$.scores[0].accuracy`"),
        ({"scores": [SCORE | {"macro_f1": 2}]}, "at `$.scores[0].macro_f1`"),
        ({"scores": [SCORE | {"clips": -1}]}, "at `$.scores[0].clips`"),
        ({"scores": [SCORE | {"recall": {"low": 1.1}}]}, "at `$.scores[0].recall[...]`"),
        ({"provenance": SMALL_PROVENANCE_TREE | {"parameters": -1}}, "at `$.provenance.parameters`"),
    ],
)
def test_a_figure_that_no_measurement_gives_is_refused(changes: dict[str, Any], message: str) -> None:
    tree = msgspec.json.decode(encode_contract(SMALL_CONTRACT)) | with_operation() | {"scores": [SCORE]}
    decode_contract(msgspec.json.encode(tree), "m.onnx")
    with pytest.raises(ContractError, match=re.escape(message)):
        decode_contract(msgspec.json.encode(tree | changes), "m.onnx")


def test_a_figure_that_is_no_number_is_refused() -> None:
    tree = msgspec.json.decode(encode_contract(SMALL_CONTRACT)) | with_operation(hours=12345.5)
    text = msgspec.json.encode(tree).decode()
    for number in ("NaN", "-Infinity", "1e999"):
        with pytest.raises(ContractError, match=r"The contract in m\.onnx does not read"):
            decode_contract(text.replace("12345.5", number), "m.onnx")


def test_a_key_that_repeats_is_refused() -> None:
    text = encode_contract(SMALL_CONTRACT).replace('"low":0.5', '"low":0.1,"low":0.5')
    with pytest.raises(ContractError, match=re.escape("in m.onnx is inconsistent: the key 'low' repeats")):
        decode_contract(text, "m.onnx")


def test_a_refusal_has_a_remedy() -> None:
    with pytest.raises(ContractError, match=r"schema soundwatch\.model/1 was expected; export the model again"):
        decode_contract("{}", "m.onnx")


def test_a_models_identity_is_its_name_and_the_start_of_its_hash() -> None:
    assert SMALL_CONTRACT.identity == "double@sha256:abababababab"


names = st.text("aé-_9 ßЖ文", max_size=8).map(lambda text: unicodedata.normalize("NFC", f"n{text}"))
model_names = st.text("aé-_9.ß文", max_size=8).map("n{}".format)
shares = st.floats(0, 1)


@st.composite
def specs(draw: st.DrawFn) -> FeatureSpec:
    rate_hz = 1000 * draw(st.integers(8, 48))
    mel_min_hz = draw(st.floats(0, rate_hz / 4))
    return FeatureSpec(
        rate_hz=rate_hz,
        channels=draw(st.integers(1, 8)),
        window_ms=draw(st.integers(1000, 4000)),
        window_hop_frames=draw(st.integers(1, 4)),
        n_fft=draw(st.integers(1, 2048)),
        hop_samples=draw(st.integers(16, 1024)),
        n_mels=draw(st.integers(1, 128)),
        mel_min_hz=mel_min_hz,
        mel_max_hz=draw(st.floats(mel_min_hz, rate_hz / 2, exclude_min=True)),
        mel_scale=draw(st.sampled_from(["htk", "slaney"])),
        mel_norm=draw(st.sampled_from(["none", "slaney"])),
        padding="reflect",
        power_floor=draw(st.floats(1e-30, 1)),
        top_db=draw(st.none() | st.floats(1, 200)),
        top_db_peak="example",
        normalisation=draw(st.sampled_from(["none", "example"])),
        normalisation_floor_db=draw(st.floats(1e-6, 10)),
    )


@st.composite
def contracts(draw: st.DrawFn) -> ModelContract:
    labels = tuple(draw(st.lists(names, min_size=1, max_size=5, unique=True)))
    recall = {label: draw(st.none() | shares) for label in labels}
    score = EvaluationScore(
        trained_on="a", tested_on=draw(names), clips=3, accuracy=draw(shares), macro_f1=draw(shares), recall=recall
    )
    return ModelContract(
        name=draw(model_names),
        features=draw(specs()),
        labels=labels,
        activation=draw(st.sampled_from(["softmax", "sigmoid"])),
        thresholds={label: draw(st.floats(0, 1, exclude_min=True)) for label in labels},
        provenance=SMALL_PROVENANCE,
        scores=(score,) * draw(st.integers(0, 2)),
        weights_sha256=draw(st.binary(min_size=32, max_size=32)).hex(),
    )


@pytest.mark.slow
@given(contracts())
def test_a_contract_survives_being_written_and_read(contract: ModelContract) -> None:
    text = encode_contract(contract)
    assert decode_contract(text, "test") == contract
    assert "\n" not in text


@pytest.mark.slow
@given(specs())
def test_every_frame_is_centered_on_a_sample_of_the_window(spec: FeatureSpec) -> None:
    last = (spec.n_frames - 1) * spec.hop_samples
    assert last <= spec.window_samples < last + spec.hop_samples
