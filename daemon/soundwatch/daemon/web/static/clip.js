// An event's sound: a player and a spectrogram, which is computed here from the decoded sound.

import { ramp } from "./colours.js";
import { el, mark, setText } from "./dom.js";
import { span } from "./format.js";
import { locale, t } from "./language.js";
import { relative, request } from "./net.js";

const SIZE = 1024; // samples per spectrum
const COLUMNS = 600;
const RANGE_DB = 80;
const MAX_HZ = 8000;
const TICKS_KHZ = [8, 6, 4, 2, 0];
const STEPS_S = [0.5, 1, 2, 5, 10, 30, 60];
const MOST_TICKS = 8;

export class Clip {
  constructor(clip) {
    const url = relative(clip.url);
    this.audio = el("audio", { controls: true, preload: "none", src: url });
    this.canvas = el("canvas", { class: "clip-picture", role: "img", "aria-label": t("Spectrogram of the clip, 0 to 8 kHz") });
    this.caption = el("p", { class: "muted" }, clip.duration_s ? `${span(clip.duration_s)} ` : "");
    const picture = clip.picture_url ? el("a", { href: relative(clip.picture_url), target: "_blank" }, t("Picture")) : "";
    this.seconds = el("div", { class: "hour-axis", "aria-hidden": "true" });
    const kilohertz = el("div", { class: "db-axis", "aria-hidden": "true" }, ...TICKS_KHZ.map((khz) => mark(khz ? String(khz) : "0 kHz", 1 - (1000 * khz) / MAX_HZ)));
    this.plot = el("div", { class: "plot" }, kilohertz, this.canvas, this.seconds);
    this.element = el("div", { class: "clip" }, this.plot, this.audio, el("div", { class: "clip-foot" }, this.caption, picture));
    this.load(url);
  }

  stop() {
    this.audio.pause();
    this.audio.removeAttribute("src");
  }

  async load(url) {
    try {
      const response = await request(url);
      const context = new OfflineAudioContext(1, 1, 2 * MAX_HZ);
      this.draw((await context.decodeAudioData(await response.arrayBuffer())).getChannelData(0));
    } catch (error) {
      setText(this.caption, t("The clip cannot be loaded: {reason}", { reason: error.message }));
      this.plot.hidden = true;
    }
  }

  draw(samples) {
    const columns = Math.max(1, Math.min(COLUMNS, Math.floor(samples.length / 64)));
    const spectra = [];
    let peak = -200;
    for (let column = 0; column < columns; column += 1) {
      const middle = Math.floor(((column + 0.5) * samples.length) / columns);
      const spectrum = decibels(samples, middle - SIZE / 2);
      for (const db of spectrum) peak = Math.max(peak, db);
      spectra.push(spectrum);
    }
    const seconds = samples.length / (2 * MAX_HZ);
    const step = STEPS_S.find((one) => seconds / one <= MOST_TICKS) ?? STEPS_S.at(-1);
    const ticks = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, tick) => tick * step);
    this.seconds.replaceChildren(...ticks.map((second) => mark(`${second.toLocaleString(locale)} s`, second / seconds)));
    const colours = ramp();
    const picture = new ImageData(columns, SIZE / 2);
    spectra.forEach((spectrum, column) => {
      spectrum.forEach((db, bin) => {
        const shade = Math.max(0, Math.min(255, Math.round(((db - peak + RANGE_DB) / RANGE_DB) * 255)));
        picture.data.set([...colours[shade], 255], 4 * ((SIZE / 2 - 1 - bin) * columns + column));
      });
    });
    this.canvas.width = columns;
    this.canvas.height = SIZE / 2;
    this.canvas.getContext("2d").putImageData(picture, 0, 0);
  }
}

// Power spectrum of `SIZE` Hann-windowed samples from `first` on, in decibels, up to half the sample rate.
function decibels(samples, first) {
  const real = new Float64Array(SIZE);
  const imaginary = new Float64Array(SIZE);
  for (let place = 0; place < SIZE; place += 1) {
    real[place] = (samples[first + place] ?? 0) * (0.5 - 0.5 * Math.cos((2 * Math.PI * place) / SIZE));
  }
  fft(real, imaginary);
  return Array.from({ length: SIZE / 2 }, (_, bin) => 10 * Math.log10(real[bin] ** 2 + imaginary[bin] ** 2 + 1e-12));
}

// Fast Fourier transform by Cooley and Tukey, in place.
function fft(real, imaginary) {
  const size = real.length;
  for (let place = 1, reversed = 0; place < size; place += 1) {
    let bit = size >> 1;
    for (; reversed & bit; bit >>= 1) reversed ^= bit;
    reversed ^= bit;
    if (place < reversed) {
      [real[place], real[reversed]] = [real[reversed], real[place]];
      [imaginary[place], imaginary[reversed]] = [imaginary[reversed], imaginary[place]];
    }
  }
  for (let length = 2; length <= size; length *= 2) {
    const angle = (-2 * Math.PI) / length;
    for (let begin = 0; begin < size; begin += length) {
      for (let step = 0; step < length / 2; step += 1) {
        const [even, odd] = [begin + step, begin + step + length / 2];
        const [cos, sin] = [Math.cos(angle * step), Math.sin(angle * step)];
        const [rotatedReal, rotatedImaginary] = [real[odd] * cos - imaginary[odd] * sin, real[odd] * sin + imaginary[odd] * cos];
        [real[odd], imaginary[odd]] = [real[even] - rotatedReal, imaginary[even] - rotatedImaginary];
        [real[even], imaginary[even]] = [real[even] + rotatedReal, imaginary[even] + rotatedImaginary];
      }
    }
  }
}
