"""What comes from outside is taken, or refused with one of our errors: never a crash, a hang, or memory without bound.

`make fuzz` does the same for longer, guided by what of our code each input reaches; what it found is in `tests/corpus`.
"""

from __future__ import annotations

import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError, ContractError, ModelError, SoundwatchError
from soundwatch.daemon.core.model.contract import CONTRACT_KEY, decode_contract, encode_contract
from soundwatch.daemon.inference.classifier import load_classifier_file
from support.band_model import write_band_model
from support.fakes import SMALL_CONTRACT
from support.fuzz_targets import READERS, read, seed

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "corpus"
MOST_BYTES = 256 << 20
SLOW = {"model", "checkpoint", "journal"}

BRIEF = settings(
    deadline=None,
    derandomize=True,  # the same in each run: what is new is for `make fuzz` to find
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
Edit = tuple[int, int, bytes]
WORDS = (b"\xff" * 4, b"\0" * 8, b"-", b"9" * 30, b"[", b"\n", b'"', b"{", b"NaN", b"1e999", b"&a ", b"*a")
edits = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.integers(0, 64), st.binary(max_size=16) | st.sampled_from(WORDS)),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, changes: list[Edit]) -> bytes:
    for place, removed, put in changes:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + removed :]
    return data


@pytest.mark.parametrize("name", READERS)
def test_a_reader_accepts_valid_input(name: str, tmp_path: Path) -> None:
    READERS[name](seed(name, tmp_path), tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_invalid_input_is_refused(name: str, tmp_path: Path) -> None:
    @settings(BRIEF, max_examples=25)
    @given(st.binary(max_size=200) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")))
    def garbage(data: bytes) -> None:
        read(name, data, tmp_path)

    garbage()


@pytest.mark.parametrize("name", READERS)
def test_damaged_messages_are_accepted_or_refused(name: str, tmp_path: Path) -> None:
    whole = seed(name, tmp_path)

    @settings(
        BRIEF,
        max_examples=20 if name in SLOW else 80,
    )
    @given(edits)
    def damaged(changes: list[Edit]) -> None:
        read(name, edited(whole, changes), tmp_path)

    tracemalloc.start()
    try:
        damaged()
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", sorted(CORPUS.rglob("*.bin")), ids=lambda path: f"{path.parent.name}-{path.stem[:12]}")
def test_inputs_that_once_crashed_are_refused(path: Path, tmp_path: Path) -> None:
    read(path.parent.name, path.read_bytes(), tmp_path)


def test_a_configuration_that_is_endless_is_not_read_to_its_end() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("there is no /dev/zero")
    with pytest.raises(ConfigError, match="longer than"):
        load_config(Path("/dev/zero"))


@pytest.mark.parametrize("value", ['"a\\0b"', '"\\uD800"'], ids=["NUL", "half a character"])
@pytest.mark.parametrize("key", ["node: {}", "sources: {{{}: {{}}}}", "model: {{file: {}}}", "sinks: [{}]"])
def test_text_that_no_name_can_be_is_refused(tmp_path: Path, key: str, value: str) -> None:
    (tmp_path / "config.yaml").write_text(key.format(value))
    with pytest.raises(ConfigError, match="contains a character that names cannot contain"):
        load_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": 10**9}, "channels is 1000000000; it must be 64 or less"),
        ({"window_ms": 10**12}, "window_ms .* or less"),
        ({"rate_hz": 10**9}, "rate_hz .* or less"),
        ({"n_fft": 2**17, "n_mels": 4096, "window_ms": 60_000}, "filters of .* numbers"),
        ({"hop_samples": 1, "window_ms": 60_000, "n_mels": 4096}, "mel decibels"),
    ],
    ids=["channels", "window", "rate", "filters", "frames"],
)
def test_a_contract_cannot_ask_for_memory_without_bound(changes: dict[str, int], said: str) -> None:
    tree = msgspec.json.decode(encode_contract(SMALL_CONTRACT))
    tree["features"] |= changes
    with pytest.raises(ContractError, match=said):
        decode_contract(msgspec.json.encode(tree), "a model")


def graph_of(*nodes: onnx.NodeProto, initializers: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    """A model with the small contract, mel decibels in and logits out."""
    shape: list[str | int | None] = ["windows", *SMALL_CONTRACT.features.input_shape]
    graph = helper.make_graph(
        list(nodes),
        "hostile",
        [helper.make_tensor_value_info("mel_db", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        list(initializers),
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(made, {CONTRACT_KEY: encode_contract(SMALL_CONTRACT)})
    return made


def outside(where: str) -> onnx.TensorProto:
    """Weights that lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", where), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def huge() -> onnx.TensorProto:
    """Return weights that declare more numbers than any memory holds."""
    return TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 31, 1 << 31], raw_data=b"\0" * 16)


ADD = helper.make_node("Add", ["mel_db", "w"], ["logits"])


@pytest.mark.parametrize(
    "made",
    [
        lambda: graph_of(ADD, initializers=(outside("/etc/passwd"),)),
        lambda: graph_of(ADD, initializers=(outside("../../etc/passwd"),)),
        lambda: graph_of(ADD, initializers=(outside("weights.bin"),)),
        lambda: graph_of(ADD, initializers=(huge(),)),
        lambda: graph_of(helper.make_node("Identity", ["mel_db"], ["logits"])),
        lambda: graph_of(helper.make_node("Loads", ["mel_db"], ["logits"], domain="org.example.code")),
        lambda: graph_of(
            helper.make_node("Reshape", ["mel_db", "s"], ["logits"]),
            initializers=(numpy_helper.from_array(np.array([-7, 2]), "s"),),
        ),
    ],
    ids=["absolute path", "path upwards", "path beside", "huge tensor", "wrong shape", "foreign code", "wrong reshape"],
)
def test_a_model_that_reaches_out_or_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[], onnx.ModelProto]
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\0" * 16)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(made().SerializeToString())
    with pytest.raises(ModelError):
        load_classifier_file(tmp_path / "model.onnx", "cpu")


def test_a_model_that_is_a_pipe_or_endless_or_too_long_is_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with (tmp_path / "long.onnx").open("wb") as file:
        file.truncate(2 << 30)
    for path, said in ((tmp_path / "pipe.onnx", "is not a regular file"), (tmp_path / "long.onnx", "bytes at most")):
        with pytest.raises(ModelError, match=said):
            load_classifier_file(path, "cpu")


def test_a_model_whose_metadata_is_no_text_is_refused(tmp_path: Path) -> None:
    whole = write_band_model(tmp_path / "bands.onnx").read_bytes()
    (tmp_path / "bands.onnx").write_bytes(whole.replace(b'"double"', b'"doubl\xa0"'))
    with pytest.raises(ContractError, match=r"metadata in .*bands.onnx is damaged"):
        load_classifier_file(tmp_path / "bands.onnx", "cpu")


def test_a_sound_model_passes_where_the_hostile_ones_do_not(tmp_path: Path) -> None:
    assert load_classifier_file(write_band_model(tmp_path / "bands.onnx"), "cpu").contract == SMALL_CONTRACT


def test_nothing_that_could_run_code_is_read_from_a_file() -> None:
    for room in ("daemon", "training", "export", "scripts", "benchmarks"):
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for call in re.findall(r"\btorch\.load\([^)]*\)", text):
                assert "weights_only=True" in call, f"{path}: {call}"
            assert not re.search(r"\bpickle\.loads?\(|\ballow_pickle=True|\byaml\.(unsafe_|full_)?load\(", text), path


class Runs:
    """Pickled, it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, (str(self.path), "w"))  # type: ignore[return-value]


def test_a_checkpoint_that_would_run_code_does_not(tmp_path: Path) -> None:
    import torch

    from soundwatch.training.model.checkpoint import read_checkpoint

    torch.save({"schema": Runs(tmp_path / "made")}, tmp_path / "evil.pt")
    with pytest.raises(SoundwatchError, match="does not read as a checkpoint"):
        read_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "made").exists()
