from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from soundwatch.daemon.cli import main
from soundwatch.daemon.core.errors import ConfigError, DataError, ModelError, SinkError, SourceError, VerificationError
from soundwatch.daemon.core.files.unfinished import EXPORT_PREFIX
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.frontend import mel
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.export import formats, model_card, parity
from soundwatch.export.exporter import export_checkpoint, verify_file
from soundwatch.export.parity import MEL_LIMIT_DB, SCORE_LIMIT
from soundwatch.training.data.datasets.everyday_sounds import EverydayClip, Role
from soundwatch.training.model.checkpoint import load_network
from support.checkpoint_factory import SMALL_RECIPE, group_layer, random_network, write_checkpoint
from support.streaming_recipe import small_streaming_recipe

QUIET = Console(quiet=True)
PROBES = 7


def test_an_export_leaves_one_file_a_format_and_a_card(exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == ["small.md", "small.onnx", "small.ts"]


@pytest.mark.parametrize(("choice", "suffix"), [("onnx", ".onnx"), ("torchscript", ".ts")])
def test_only_the_requested_format_is_kept_and_its_paths_are_printed(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], choice: str, suffix: str
) -> None:
    out = tmp_path / "new" / "folder"
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(checkpoint), "--format", choice, "--out", str(out)])
    assert stopped.value.code == 0
    assert sorted(path.name for path in out.iterdir()) == ["small.md", f"small{suffix}"]
    assert capfd.readouterr().out.splitlines() == [str(out / f"small{suffix}"), str(out / "small.md")]


def test_files_that_exist_are_replaced_only_when_that_is_asked_for(
    checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.md").write_text(model_card.model_card(load_network(checkpoint)[1]))
    (tmp_path / "small.ts").write_text("mine")
    (tmp_path / f"{EXPORT_PREFIX}{2**30}-abc").mkdir()
    for options, code in ((("onnx",), 0), (("all",), 2), (("torchscript", "--overwrite"), 0)):
        with pytest.raises(SystemExit) as stopped:
            main(["export", str(checkpoint), "--out", str(tmp_path), "--format", *options])
        assert stopped.value.code == code
        assert ((tmp_path / "small.ts").read_bytes() == b"mine") is ("--overwrite" not in options)
    assert "small.onnx exists. Name another place, or add --overwrite to replace it." in capfd.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.md", "small.onnx", "small.ts"]


def test_a_clip_that_does_not_read_is_refused_before_the_work(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no file"):
        export_checkpoint(checkpoint, ["onnx"], tmp_path / "out", tmp_path / "none.wav", QUIET)
    assert not (tmp_path / "out").exists()


def test_the_card_of_another_model_is_not_replaced(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "small.md").write_text("notes")
    with pytest.raises(ConfigError, match=r"small\.md exists"):
        export_checkpoint(checkpoint, ["onnx"], tmp_path, None, QUIET)
    assert (tmp_path / "small.md").read_text() == "notes"


def test_every_variant_is_within_its_limits_on_every_probe(exported: Path, checkpoint: Path) -> None:
    for file in ("small.onnx", "small.ts"):
        verification = verify_file(exported / file, "auto", checkpoint, None, QUIET)
        verification.raise_if_failed()
        runtime = "ONNX Runtime" if file.endswith("onnx") else "TorchScript"
        variants = {difference.variant for difference in verification.differences} | {
            item.variant for item in verification.not_run
        }
        assert variants == {f"{runtime} CPU", f"{runtime} CUDA", f"daemon, {runtime}"}
        assert len(verification.differences) == PROBES * (3 - len(verification.not_run))
        assert all(
            difference.mel_db is not None and 0 <= difference.mel_db <= MEL_LIMIT_DB
            for difference in verification.differences
        )
        assert all(0 <= difference.score <= SCORE_LIMIT for difference in verification.differences)


def test_a_network_that_scores_recent_frames_apart_exports_within_the_limits(tmp_path: Path) -> None:
    recipe = small_streaming_recipe()
    recipe = msgspec.structs.replace(recipe, network=msgspec.structs.replace(recipe.network, recent_frames=2))
    path = write_checkpoint(tmp_path / "checkpoint.pt", recipe)
    files, verification = export_checkpoint(path, ["onnx", "torchscript"], tmp_path / "models", None, QUIET)
    assert len(files) == 3
    assert verification.differences
    assert max(difference.score for difference in verification.differences) <= SCORE_LIMIT


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_variant_without_its_device_is_reported_as_not_run(exported: Path) -> None:
    (skipped,) = verify_file(exported / "small.onnx", "auto", None, None, QUIET).not_run
    assert (skipped.variant, skipped.reason) == ("ONNX Runtime CUDA", "no CUDA device")


def test_a_file_whose_weights_were_changed_by_its_writer_is_never_put_in_place(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_other_weights(network: torch.nn.Module, contract: ModelContract) -> bytes:
        del network
        return exporter_to_onnx(random_network(msgspec.structs.replace(SMALL_RECIPE, seed=2)), contract)

    exporter_to_onnx = formats.WRITERS["onnx"]
    monkeypatch.setitem(formats.WRITERS, "onnx", write_other_weights)
    with pytest.raises(VerificationError, match=r"comparisons failed, such as .*ONNX Runtime"):
        export_checkpoint(checkpoint, ["onnx", "torchscript"], tmp_path, None, QUIET)
    assert list(tmp_path.iterdir()) == []


def test_different_scores_in_the_daemon_fail_the_export_and_keep_the_old_file(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.onnx").write_bytes(b"old")
    true_mel_db = mel.mel_db
    monkeypatch.setattr(parity, "mel_db", lambda samples, spec: true_mel_db(samples, spec) + np.float32(0.01))
    with pytest.raises(VerificationError, match=r"daemon, (ONNX Runtime|TorchScript) on .* 0\.01 dB"):
        export_checkpoint(checkpoint, ["onnx"], tmp_path, None, QUIET, overwrite=True)
    assert (tmp_path / "small.onnx").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]


def test_a_network_that_gives_nan_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    network = random_network(SMALL_RECIPE)
    torch.nn.init.constant_(next(reversed(list(network.children()))).get_parameter("bias"), float("nan"))
    path = write_checkpoint(tmp_path / "nan.pt", network=network)
    out = tmp_path / "out"
    with pytest.raises(ModelError, match="finite logits were expected"):
        export_checkpoint(path, ["onnx"], out, None, QUIET)
    assert list(out.iterdir()) == []


def test_verify_refuses_a_checkpoint_of_other_weights(exported: Path, tmp_path: Path) -> None:
    other = write_checkpoint(tmp_path / "other.pt", msgspec.structs.replace(SMALL_RECIPE, seed=2))
    with pytest.raises(VerificationError, match="Give the checkpoint that the file was exported from"):
        verify_file(exported / "small.onnx", "auto", other, None, QUIET)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.pt").write_bytes(b"no checkpoint")
    for path in (tmp_path / "no.pt", tmp_path / "missing.pt"):
        with pytest.raises(ModelError, match="a checkpoint that `soundwatch train` wrote was expected"):
            export_checkpoint(path, ["onnx"], tmp_path, None, QUIET)


def test_a_folder_that_cannot_be_made_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SinkError, match=r"cannot be written to: .* Choose another --out"):
        export_checkpoint(checkpoint, ["onnx"], tmp_path / "file" / "out", None, QUIET)


def test_verify_prints_every_difference_as_json(exported: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["verify", str(exported / "small.onnx"), "--json"])
    assert stopped.value.code == 0
    found = json.loads(capfd.readouterr().out)
    assert found["passed"] is True
    assert found["compared_with"] == "ONNX Runtime CPU"
    assert {difference["variant"] for difference in found["differences"]} >= {"daemon, ONNX Runtime"}
    assert set(found["differences"][0]) == {"probe", "variant", "mel_db", "score", "score_limit"}


def test_verify_prints_its_table_before_it_fails_with_code_8(
    exported: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    true_mel_db = mel.mel_db
    monkeypatch.setattr(parity, "mel_db", lambda samples, spec: true_mel_db(samples, spec) * np.float32(np.nan))
    monkeypatch.setattr(parity, "_score_one_by_one", lambda _, decibels: np.zeros((len(decibels), 10), np.float32))
    with pytest.raises(SystemExit) as stopped:
        main(["verify", str(exported / "small.onnx")])
    assert stopped.value.code == 8
    printed = capfd.readouterr()
    assert "daemon, ONNX Runtime" in printed.out
    assert "does not compute what ONNX Runtime CPU does" in printed.err


def test_verify_takes_a_recording_for_its_clip(exported: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.flac", 0.1 * np.random.default_rng(1).standard_normal((48000, 2)), 48000)
    verify_file(exported / "small.onnx", "auto", None, tmp_path / "clip.flac", QUIET).raise_if_failed()


def test_the_card_is_that_of_the_contract(exported: Path, checkpoint: Path) -> None:
    _, contract = load_network(checkpoint)
    assert model_card.model_card(contract) == (exported / "small.md").read_text("utf-8")


def everyday_clips(folder: Path, kinds: tuple[str, ...]) -> list[EverydayClip]:
    """Eight clips to learn from, of which nothing is read, and three test recordings of each kind."""
    nothing: frozenset[str] = frozenset()
    clips = []
    for kind in kinds:
        for number in range(11):
            role: Role = "train" if number < 8 else "test_recordings"
            path = folder / f"{kind}-{number}.wav"
            if role != "train":
                tone = np.sin(np.arange(8000) * 0.01 * (number + 1))
                soundfile.write(path, tone.astype(np.float32), 8000)
            clips.append(
                EverydayClip(path, path.name, kind, path.stem, "own", "CC0", None, None, nothing, nothing, role)
            )
    return clips


def test_with_everyday_sounds_every_format_has_the_tags_that_they_judge(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", hint=group_layer(SMALL_RECIPE))
    clips = everyday_clips(tmp_path, ("cat", "glass_breaking"))
    out = tmp_path / "out"
    (onnx_file, script, card), _ = export_checkpoint(checkpoint, ["onnx", "torchscript"], out, None, QUIET, clips)
    mel_db = np.full((2, *SMALL_RECIPE.features.input_shape), -40, np.float32)
    plain, contract = load_network(checkpoint)
    for file in (onnx_file, script):
        classifier = load_classifier_file(file, "cpu")
        assert classifier.contract.tags == ("cat", "glass")
        assert classifier.contract.identity == contract.identity
        assert classifier.contract.tag_scores["cat"].clips == 3
        scores = classifier.classify(mel_db)
        assert scores.shape == (2, 12)
        with torch.no_grad():
            np.testing.assert_allclose(scores[:, :10], plain(torch.from_numpy(mel_db)).softmax(1), atol=1e-6)
        verify_file(file, "auto", checkpoint, None, QUIET).raise_if_failed()
    assert "| glass | 3 | 3 |" in card.read_text(encoding="utf-8")


def test_without_everyday_sounds_a_run_with_groups_gives_a_model_without_tags(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", hint=group_layer(SMALL_RECIPE))
    (file, _), _ = export_checkpoint(checkpoint, ["onnx"], tmp_path / "out", None, QUIET)
    assert load_classifier_file(file, "cpu").contract.tags == ()


def test_sounds_that_can_judge_no_tag_are_refused(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint.pt", hint=group_layer(SMALL_RECIPE))
    with pytest.raises(DataError, match="so no tag can be judged"):
        export_checkpoint(checkpoint, ["onnx"], tmp_path, None, QUIET, everyday_clips(tmp_path, ("cat",))[:8])


def test_a_shipped_model_exports_again_with_its_tags(tmp_path: Path) -> None:
    shipped = load_classifier_file("urban", "cpu")
    (file, _), _ = export_checkpoint(Path("urban"), ["onnx"], tmp_path, None, QUIET)
    again = load_classifier_file(file, "cpu")
    assert again.contract == shipped.contract
    mel_db = np.random.default_rng(1).normal(-40, 15, (1, *shipped.contract.features.input_shape)).astype(np.float32)
    np.testing.assert_allclose(again.classify(mel_db), shipped.classify(mel_db), atol=1e-5)


def test_everyday_sounds_measure_the_tags_of_a_run_and_not_of_a_model_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["export", "urban", "--sounds", str(tmp_path), "--out", str(tmp_path)])
    assert stopped.value.code == ConfigError.exit_code
    assert "urban is not its checkpoint.pt" in capfd.readouterr().err
