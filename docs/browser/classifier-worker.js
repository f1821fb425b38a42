// Runs in a thread of its own: keeps the last seconds of sound in a ring and scores them with the waveform file.
// Messages in: {kind: "open"}, {kind: "listen", port, rate_hz}, {kind: "stop"}; blocks of samples come from the port.
// Messages out: {kind: "opened"}, {kind: "missing", file}, {kind: "failed", reason}, {kind: "scores", scores, tags, took_ms}.

import { Resampler } from "./resample.js";

const RUNTIME = new URL("runtime/", self.location.href).href;
const MODEL = new URL("model/waveform.onnx", self.location.href).href;
const ABOUT = new URL("model/waveform.json", self.location.href).href;

let ort = null;
let session = null;
let about = null;
let listening = null; // {port, resampler, ring, position, received, due, waiting}

self.onmessage = async ({ data }) => {
  if (data.kind === "open") await open();
  if (data.kind === "listen") listen(data.port, data.rate_hz);
  if (data.kind === "stop") stop();
};

async function open() {
  if (session) return self.postMessage({ kind: "opened" });
  try {
    for (const file of [`${RUNTIME}ort.wasm.min.mjs`, ABOUT]) {
      if (!(await fetch(file)).ok) return self.postMessage({ kind: "missing", file: nameOf(file) });
    }
    about = await (await fetch(ABOUT)).json();
    const model = await fetch(MODEL);
    if (!model.ok) return self.postMessage({ kind: "missing", file: nameOf(MODEL) });
    ort = await import(`${RUNTIME}ort.wasm.min.mjs`);
    ort.env.wasm.wasmPaths = RUNTIME;
    ort.env.wasm.numThreads = 1; // more need headers that few web servers send
    session = await ort.InferenceSession.create(new Uint8Array(await model.arrayBuffer()));
    self.postMessage({ kind: "opened" });
  } catch (error) {
    self.postMessage({ kind: "failed", reason: String(error?.message ?? error) });
  }
}

function nameOf(address) {
  return address.slice(new URL(".", self.location.href).href.length);
}

function listen(port, rateHz) {
  const samples = Math.round(about.window_s * about.rate_hz);
  listening = {
    port,
    resampler: new Resampler(rateHz, about.rate_hz),
    ring: new Float32Array(samples),
    position: 0,
    received: 0,
    due: samples, // the first scores come when the ring is full
    waiting: false,
  };
  port.onmessage = ({ data }) => take(data);
}

function stop() {
  listening?.port.close();
  listening = null;
}

/** Write a block into the ring; order a classification when a hop is full. */
function take(block) {
  if (!listening) return;
  const { ring } = listening;
  for (const sample of listening.resampler.push(block)) {
    ring[listening.position] = sample;
    listening.position = (listening.position + 1) % ring.length;
    listening.received++;
  }
  if (listening.received >= listening.due && !listening.waiting) {
    listening.waiting = true;
    setTimeout(classify); // after the blocks that wait already, so a slow device skips windows and falls behind by none
  }
}

async function classify() {
  if (!listening) return;
  const current = listening;
  const hop = Math.round(about.hop_s * about.rate_hz);
  current.due += hop * (1 + Math.floor((current.received - current.due) / hop));
  const { ring, position } = current;
  const samples = new Float32Array(ring.length);
  samples.set(ring.subarray(position));
  samples.set(ring.subarray(0, position), ring.length - position);
  const began = performance.now();
  try {
    const found = await session.run({ samples: new ort.Tensor("float32", samples, [1, samples.length]) });
    const took_ms = performance.now() - began;
    const scores = firstRow(found.scores, about.labels);
    const tags = found.tag_scores ? firstRow(found.tag_scores, about.tags) : [];
    if (current === listening) self.postMessage({ kind: "scores", scores, tags, took_ms });
  } catch (error) {
    self.postMessage({ kind: "failed", reason: String(error?.message ?? error) });
  }
  current.waiting = false;
}

/** The scores of the first window; the file adds a window that begins a hop later and ends in zeros. */
function firstRow(scores, names) {
  return Array.from(scores.data.subarray(0, names.length));
}
