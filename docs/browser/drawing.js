// The level and the spectrogram of the sound, drawn from an AnalyserNode.

const LOWEST_HZ = 60;
const HIGHEST_HZ = 8000;
const QUIETEST_DB = -110;
const LOUDEST_DB = -30;
const SHOWN_S = 10;

/** Draw until the returned function is called. `onSilence` learns for how long every sample has been zero, in seconds. */
export function draw(analyser, canvas, meter, text, onSilence) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const pen = canvas.getContext("2d");
  const waveform = new Float32Array(analyser.fftSize);
  const spectrum = new Float32Array(analyser.frequencyBinCount);
  const colors = ramp(canvas);
  const rows = rowsOf(canvas.height, analyser);
  let drawn_ms = performance.now();
  let sound_ms = drawn_ms;
  let timer = 0;

  function step() {
    const now_ms = performance.now();
    analyser.getFloatTimeDomainData(waveform);
    if (waveform.some((sample) => sample !== 0)) sound_ms = now_ms;
    onSilence((now_ms - sound_ms) / 1000);
    showLevel(meter, text, levelOf(waveform));
    const columns = Math.floor(((now_ms - drawn_ms) / 1000 / SHOWN_S) * canvas.width);
    if (!still && columns > 0) {
      drawn_ms += (columns / canvas.width) * SHOWN_S * 1000;
      analyser.getFloatFrequencyData(spectrum);
      pen.drawImage(canvas, -columns, 0);
      rows.forEach((bin, row) => {
        const share = (spectrum[bin] - QUIETEST_DB) / (LOUDEST_DB - QUIETEST_DB);
        pen.fillStyle = colors[Math.round(255 * Math.min(1, Math.max(0, share)))];
        pen.fillRect(canvas.width - columns, row, columns, 1);
      });
    }
    timer = setTimeout(step, 40);
  }

  pen.fillStyle = colors[0];
  pen.fillRect(0, 0, canvas.width, canvas.height);
  canvas.hidden = still;
  step();
  return () => {
    clearTimeout(timer);
    showLevel(meter, text, -Infinity);
  };
}

/** The bin of each row, from the highest frequency down, in equal musical steps. */
function rowsOf(height, analyser) {
  const bin_hz = analyser.context.sampleRate / analyser.fftSize;
  return Array.from({ length: height }, (_, row) => {
    const frequency_hz = HIGHEST_HZ * (LOWEST_HZ / HIGHEST_HZ) ** (row / (height - 1));
    return Math.min(analyser.frequencyBinCount - 1, Math.round(frequency_hz / bin_hz));
  });
}

function levelOf(waveform) {
  const power = waveform.reduce((sum, sample) => sum + sample * sample, 0) / waveform.length;
  return 10 * Math.log10(power);
}

function showLevel(meter, text, level_dbfs) {
  const shown = Math.max(-100, Math.min(0, level_dbfs));
  const words = Number.isFinite(level_dbfs) ? `${level_dbfs.toFixed(0)} dBFS` : "no sound";
  meter.firstElementChild.style.width = `${100 + shown}%`;
  meter.setAttribute("aria-valuenow", shown.toFixed(0));
  meter.setAttribute("aria-valuetext", words);
  text.textContent = words;
}

/** 256 colors between those of the theme. */
function ramp(canvas) {
  const theme = getComputedStyle(canvas);
  const stops = [0, 1, 2, 3, 4].map((stop) => {
    const color = theme.getPropertyValue(`--ramp-${stop}`).trim();
    return [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16));
  });
  return Array.from({ length: 256 }, (_, index) => {
    const at = (index / 255) * 4;
    const stop = Math.min(3, Math.floor(at));
    const mixed = stops[stop].map((value, part) => value + (at - stop) * (stops[stop + 1][part] - value));
    return `rgb(${mixed.map(Math.round).join(" ")})`;
  });
}
