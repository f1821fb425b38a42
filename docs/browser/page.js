// The page: its states, the buttons, and the lists of scores and tags.

import { draw } from "./drawing.js";
import { explain, lacking, openMicrophone } from "./microphone.js";

const $ = (id) => document.getElementById(id);
const MUTED_AFTER_S = 3;
const SHOWN_TAGS = 5;

let classifier = null;
let about = null;
let microphone = null;
let endDrawing = null;

function show(state, sentence) {
  document.body.dataset.state = state;
  if ($("state").textContent !== sentence) $("state").textContent = sentence;
  const running = ["asking", "loading", "listening", "muted"].includes(state);
  $("start").hidden = running;
  $("stop").hidden = !running;
}

function missing(file) {
  $("start").disabled = true;
  const what = file.startsWith("model") ? "no model file" : "no ONNX Runtime";
  show(file.startsWith("model") ? "no-model" : "no-runtime", `There is ${what} on this site (${file}). "make docs" places it; it needs npm and a network once.`);
}

async function begin() {
  const lack = lacking();
  if (lack) return show("unsupported", lack);
  const answer = await fetch("model/waveform.json");
  if (!answer.ok) return missing("model/waveform.json");
  about = await answer.json();
  $("model").textContent = about.model;
  for (const id of ["window", "ring"]) $(id).textContent = `${about.window_s} s`;
  $("scores").replaceChildren(...about.labels.map((label, index) => row(label, about.thresholds[index])));
  $("start").disabled = false;
  show("ready", "Press Start. The browser will ask for the microphone.");
}

async function start() {
  show("asking", "Asking for the microphone. Answer the browser's question.");
  try {
    microphone = await openMicrophone((reason) => end("lost", reason));
  } catch (error) {
    return show(...explain(error));
  }
  if (document.body.dataset.state !== "asking") return end("stopped", "Stopped."); // Stop was pressed meanwhile
  show("loading", "Loading the model: about 15 MB, once.");
  endDrawing = draw(microphone.analyser, $("spectrogram"), $("level"), $("level-text"), note);
  classifier ??= openClassifier();
  classifier.postMessage({ kind: "open" });
}

function openClassifier() {
  const worker = new Worker("classifier-worker.js", { type: "module" });
  worker.onmessage = ({ data }) => {
    if (data.kind === "opened") listen();
    if (data.kind === "missing") end("stopped", "").then(() => missing(data.file));
    if (data.kind === "failed") end("failed", `The model cannot be run: ${data.reason}`);
    if (data.kind === "scores" && microphone) showScores(data);
  };
  worker.onerror = () => end("failed", "The model cannot be run: this browser has no module workers. Use a newer one.");
  return worker;
}

function listen() {
  if (!microphone) return;
  show("listening", `Listening to ${microphone.name}. The first scores come after ${about.window_s} s.`);
  classifier.postMessage({ kind: "listen", port: microphone.port, rate_hz: microphone.rate_hz }, [microphone.port]);
}

function note(silent_s) {
  if (document.body.dataset.state === "listening" && silent_s > MUTED_AFTER_S) {
    show("muted", "The microphone gives digital silence: it is muted, here or by a switch.");
  } else if (document.body.dataset.state === "muted" && silent_s === 0) {
    show("listening", `Listening to ${microphone.name}.`);
  }
}

async function end(state, sentence) {
  classifier?.postMessage({ kind: "stop" });
  endDrawing?.();
  const opened = microphone;
  [microphone, endDrawing] = [null, null];
  show(state, sentence);
  await opened?.close();
}

function row(label, threshold) {
  const item = document.createElement("li");
  item.innerHTML = '<span class="name"></span><span class="bar"><span class="fill"></span><span class="mark"></span></span><span class="value">0.00</span>';
  item.dataset.label = label;
  item.querySelector(".name").textContent = label.replaceAll("_", " ");
  item.querySelector(".mark").style.left = `${100 * threshold}%`;
  item.querySelector(".mark").title = `threshold ${threshold}`;
  return item;
}

function showScores({ scores, tags, took_ms }) {
  const best = scores.indexOf(Math.max(...scores));
  scores.forEach((score, index) => {
    const item = $("scores").children[index];
    item.classList.toggle("best", index === best);
    item.classList.toggle("over", score >= about.thresholds[index]);
    item.querySelector(".fill").style.width = `${100 * score}%`;
    item.querySelector(".value").textContent = score.toFixed(2);
  });
  const over = scores[best] >= about.thresholds[best] ? "over its threshold" : "below its threshold";
  $("best").textContent = `Highest: ${about.labels[best].replaceAll("_", " ")}, ${scores[best].toFixed(2)}, ${over}. Computed in ${took_ms.toFixed(0)} ms.`;
  if (document.body.dataset.state === "listening") show("listening", `Listening to ${microphone.name}.`);
  $("tags-section").hidden = tags.length === 0;
  const highest = tags.map((score, index) => [score, about.tags[index]]).sort((one, other) => other[0] - one[0]);
  $("tags").replaceChildren(
    ...highest.slice(0, SHOWN_TAGS).map(([score, tag]) => {
      const item = document.createElement("li");
      item.textContent = `${tag.replaceAll("_", " ")} ${score.toFixed(2)}`;
      return item;
    }),
  );
}

$("start").addEventListener("click", start);
$("stop").addEventListener("click", () => end("stopped", "Stopped. The microphone is closed."));
await begin();
