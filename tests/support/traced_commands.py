"""Every command of soundwatch with real files, sources and sinks, to be traced in a network without a route.

Conventions: each command has a home, a temporary folder and a working folder of its own bench, and an environment
without the variables by which a library notices tests or continuous integration and keeps quiet. What a command may
do is what docs/privacy.md names."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from soundwatch.daemon.detection.calibration import MIN_BACKGROUND_S
from support import loopback_services as services
from support.checkpoint_factory import write_checkpoint
from support.labeled_folder import write_classes
from support.rtsp_server import why_not
from support.syscall_trace import NetworkWithoutRoute, Permitted, Trace, trace

LIMIT_S: Final = 180  # of a command that goes on
RTSP_PORT: Final = 8554
NO_PROXY_PORT: Final = 9  # `scan/ray_environment.py` sends Ray's HTTP there
DEVICES: Final = (Path("/dev/null"), Path("/dev/tty"), Path("/dev/shm"), Path("/dev/pts"), Path("/dev/ptmx"))  # noqa: S108


# The C library asks for a cache of names; PortAudio and ALSA ask for the sound servers that there are.
LOCAL_SERVERS: Final = ("/var/run/nscd/socket", "/dev/shm/jack", "/var/run/pulse/", "/run/pulse/")  # noqa: S108
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "PYTHONPATH")
RECIPE: Final = """
name: tiny
features: {rate_hz: 8000, channels: 2, window_ms: 500, window_hop_frames: 8, n_fft: 256, hop_samples: 128, n_mels: 16,
  mel_min_hz: 0, mel_max_hz: 4000, mel_scale: htk, mel_norm: none, padding: reflect, power_floor: 1.0e-10, top_db: 80,
  top_db_peak: example, normalisation: example, normalisation_floor_db: 1.0e-3}
network: {kind: pooled, widths: [4, 8], strides: [2, 2], dropout_share: 0.1}
activation: sigmoid
augmentation: {gain_db: 6, noise_probability: 0.5}
optimisation: {max_learning_rate: 1.0e-2, anneal: cos}
batch_clips: 8
epochs: 1
seed: 5
"""


@dataclass(frozen=True, slots=True)
class TracedCommand:
    """One command and what it may do.

    Attributes:
        name: Name in reports.
        words: Its words after `soundwatch`.
        ports: Loopback ports that the configuration names.
        folders: Where it may create files, below the bench's folder.
        exit_codes: Those that it may end with.
    """

    name: str
    words: tuple[str, ...]
    ports: frozenset[int] = frozenset()
    folders: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = (0,)


_STATE: Final = "home/.local/state/soundwatch"
_PULSE: Final = "home/.config/pulse"
_TRAINING: Final = ("home/.cache/soundwatch", "home/.cache/matplotlib", "home/.config/matplotlib")
COMMANDS: Final = (
    TracedCommand("classify", ("classify", "recording.wav")),
    TracedCommand("replay", ("replay", "recording.wav")),
    TracedCommand("scan, local", ("scan", "archive", "--out", "out/local.jsonl", "--workers", "2"), folders=("out",)),
    TracedCommand(
        "scan, Ray",
        ("scan", "archive", "--out", "out/ray.jsonl", "--workers", "1", "--engine", "ray"),
        ports=frozenset({NO_PROXY_PORT}),
        folders=("out",),
    ),
    TracedCommand("bench", ("bench", "--json", "--provider", "cpu")),
    TracedCommand(
        "calibrate", ("calibrate", "--background", "background.wav", "--out", "out/place.json"), folders=("out",)
    ),
    TracedCommand(
        "train",
        ("train", "--data", "classes", "--layout", "folders", "--recipe", "tiny.yaml", "--out", "out/run"),
        folders=("out", *_TRAINING),
    ),
    TracedCommand("export", ("export", "small.pt", "--out", "out/models"), folders=("out", *_TRAINING)),
    TracedCommand("verify", ("verify", "urban"), folders=_TRAINING),
    TracedCommand("data check", ("data", "check", "classes", "--layout", "folders"), folders=_TRAINING),
    TracedCommand("doctor", ("doctor", "--no-probe"), folders=(_PULSE, _STATE), exit_codes=(0, 10)),
    TracedCommand("devices", ("devices",), folders=(_PULSE,)),
    TracedCommand("check-config", ("check-config", "config.yaml")),
    TracedCommand("schema", ("schema",)),
    TracedCommand("privacy audit", ("privacy", "audit"), folders=(_STATE,)),
    TracedCommand("service install", ("service", "install", "--dry-run", "--user")),
)


# They read what `run_everything` left.
AFTER_RUN: Final = (
    TracedCommand("tail", ("tail", "-n", "5"), folders=(_STATE,)),
    TracedCommand("export-events", ("export-events", "out/events.csv"), folders=("out", _STATE)),
    TracedCommand("fleet nodes", ("fleet", "nodes", "--store", "out/fleet.db"), folders=("out",)),
)


@dataclass(slots=True)
class Bench:
    """A folder with everything that the commands need, and the network that they run in.

    Attributes:
        folder: Working folder; commands' paths are relative to it.
        network: Namespace without a route.
        program: Words that start soundwatch.
        environment: Variables beyond the usual ones.
        sockets: Unix sockets beyond the usual ones, by the beginning of their path.
    """

    folder: Path
    network: NetworkWithoutRoute
    program: tuple[str, ...] = (str(Path(sys.executable).with_name("soundwatch")),)
    environment: Mapping[str, str] = field(default_factory=dict)
    sockets: tuple[str, ...] = ()

    def prepare(self) -> None:
        """Write recordings, data, a checkpoint, a configuration."""
        for name in ("home", "tmp", "out", "archive", "services"):
            (self.folder / name).mkdir(parents=True)
        samples = np.random.default_rng(1).normal(0, 0.05, services.RATE_HZ * (LIMIT_S + 30)).astype(np.float32)
        soundfile.write(self.folder / "services/recording.wav", samples, services.RATE_HZ, "PCM_16")
        for name in ("recording.wav", "archive/a.wav", "archive/b.wav"):
            soundfile.write(self.folder / name, samples[: services.RATE_HZ * 10], services.RATE_HZ, "PCM_16")
        background = np.resize(samples, services.RATE_HZ * MIN_BACKGROUND_S)
        soundfile.write(self.folder / "background.wav", background, services.RATE_HZ, "PCM_16")
        write_classes(self.folder / "classes")
        write_checkpoint(self.folder / "small.pt")
        (self.folder / "tiny.yaml").write_text(RECIPE)
        (self.folder / "config.yaml").write_text("sources: {mic0: {device: recording.wav}}\n")

    def trace(self, command: TracedCommand) -> Trace:
        """Run a command to its end."""
        return self.trace_words(command.name, [*self.program, *command.words])

    def trace_words(self, name: str, words: list[str], **options: Any) -> Trace:
        """Run any program to its end, with the bench's environment."""
        return trace(words, self.trace_folder(name), self.network, cwd=self.folder, env=self.variables(), **options)

    def trace_folder(self, name: str) -> Path:
        """Return where the calls of a command are written."""
        return self.folder / "traces" / name.replace(" ", "-").replace(",", "")

    def permitted(self, command: TracedCommand) -> Permitted:
        """Return what a command may do."""
        folders = tuple(self.folder / folder for folder in ("tmp", *command.folders))
        sockets = (*LOCAL_SERVERS, str(self.folder), *self.sockets)
        return Permitted(command.ports, (*folders, *DEVICES, Path("/proc")), sockets)

    def variables(self) -> dict[str, str]:
        """Return the environment of a user who set nothing."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        own = {
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "1",  # files beside Python's own modules are none of soundwatch's
            "OMP_NUM_THREADS": "1",
        }
        return kept | own | dict(self.environment)


def run_configuration(folder: Path) -> str:
    """Return a configuration with a source and a sink of each kind, at `loopback_services`."""
    hook = folder / "hook"
    hook.write_text("#!/bin/sh\nexec cat >/dev/null\n")
    hook.chmod(0o755)
    (folder / "listen").mkdir()
    soundfile.write(folder / "listen/a.wav", soundfile.read(folder / "recording.wav")[0], services.RATE_HZ)
    os.mkfifo(folder / "pipe")
    pcm = f"s16le,{services.RATE_HZ},1"
    camera = f'  camera: {{device: "rtsp://127.0.0.1:{RTSP_PORT}/live", pcm: "{pcm}"}}\n' if not why_not() else ""
    return f"""
node: traced
sources:
  street: {{device: demo}}
  recording: {{device: {folder}/recording.wav}}
  folder: {{device: {folder}/listen}}
  stdin: {{device: "-", pcm: "{pcm}"}}
  pipe: {{device: {folder}/pipe, pcm: "{pcm}"}}
  radio: {{device: "http://127.0.0.1:{services.HTTP_PORT}/radio.wav", pcm: "{pcm}"}}
{camera}  tcp: {{device: "pcm+tcp://127.0.0.1:{services.PCM_TCP_PORT}", pcm: "{pcm}"}}
  udp: {{device: "pcm+udp://127.0.0.1:{services.PCM_UDP_PORT}", pcm: "{pcm}"}}
  mic0: {{device: "pulse:vmic.monitor"}}
clips: {{folder: {folder}/clips, speech_guard: false}}
sinks:
  - json
  - json:{folder}/out/run.jsonl
  - mqtt://127.0.0.1:{services.MQTT_PORT},fleet=1,report_s=1
  - webhook:http://127.0.0.1:{services.HTTP_PORT}/hook
  - command:{hook}
  - unix:{folder}/out/run.sock
  - tcp://127.0.0.1:{services.LINES_PORT}
  - http://127.0.0.1:{services.PAGE_PORT}
"""


RUN: Final = TracedCommand(
    "run, each source and sink",
    ("run", "--config", "run.yaml"),
    ports=frozenset(
        {
            *(services.HTTP_PORT, services.MQTT_PORT, services.PAGE_PORT),
            *(services.LINES_PORT, services.PCM_TCP_PORT, services.PCM_UDP_PORT, RTSP_PORT),
        }
    ),
    folders=(_STATE, "clips", "out", _PULSE),
)
DEMO: Final = TracedCommand("run, demo", ("run", "--device", "demo"), folders=(_STATE,))
TERMINAL: Final = TracedCommand("run, terminal", ("run", "--device", "demo", "-F", "terminal"), folders=(_STATE,))
WATCH: Final = TracedCommand(
    "fleet watch",
    ("fleet", "watch", "--broker", f"mqtt://127.0.0.1:{services.MQTT_PORT}", "--store", "out/fleet.db"),
    ports=frozenset({services.MQTT_PORT}),
    folders=("out",),
)
