// A windowed-sinc resampler in streaming form: samples at one rate in, samples at another rate out.
// Browsers differ in the rates that they convert a microphone to, so the page converts by itself.

const ZERO_CROSSINGS = 48; // of the sinc on each side
const PASS = 0.95; // of the lower rate's Nyquist frequency

export class Resampler {
  /** @param {number} fromHz @param {number} toHz */
  constructor(fromHz, toHz) {
    const common = greatestCommonDivisor(fromHz, toHz);
    this.inputs = fromHz / common;
    this.outputs = toHz / common;
    const cutoff = PASS * Math.min(1, toHz / fromHz);
    this.half = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.weights = Array.from({ length: this.outputs }, (_, phase) =>
      filter(phase / this.outputs, cutoff, this.half),
    );
    this.phase = 0;
    this.pending = new Float32Array(this.half - 1); // silence before the first sample
  }

  /** Take a block of any length; return the outputs that it completes. */
  push(block) {
    const given = new Float32Array(this.pending.length + block.length);
    given.set(this.pending);
    given.set(block, this.pending.length);
    const taps = 2 * this.half;
    const found = [];
    let first = 0;
    while (first + taps <= given.length) {
      const weights = this.weights[this.phase];
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) sum += weights[tap] * given[first + tap];
      found.push(sum);
      const reached = this.phase + this.inputs;
      first += Math.floor(reached / this.outputs);
      this.phase = reached % this.outputs;
    }
    this.pending = given.slice(first);
    return Float32Array.from(found);
  }
}

/** Weights of the taps around a point that lies `fraction` of a sample after the middle; their sum is 1. */
function filter(fraction, cutoff, half) {
  const weights = Float64Array.from({ length: 2 * half }, (_, tap) => {
    const away = tap - (half - 1) - fraction; // in samples
    const turn = (Math.PI * away) / half;
    const blackman = 0.42 + 0.5 * Math.cos(turn) + 0.08 * Math.cos(2 * turn);
    return Math.abs(away) < half ? sinc(cutoff * away) * blackman : 0;
  });
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
