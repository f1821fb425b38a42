// Live view of each source: spectrogram, level and scores of the classes.

import { byId, el, keep, setText } from "./dom.js";
import { decibels, highest, level, score, weighted } from "./format.js";
import { t, words } from "./language.js";
import { Listener } from "./listen.js";
import { ask } from "./net.js";
import { Spectrogram } from "./spectrogram.js";

const STATES = {
  opening: t("Opening"),
  waiting: t("Waiting for the device"),
  running: t("Running"),
  lost: t("Lost"),
  paused: t("Paused"),
  ended: t("Ended"),
};
const SWITCHING_MS = 5000;
const MANY = 4; // sources; of more, the ones outside the screen are not drawn
const MOST_HELD = 10000; // messages, of panels that cannot be loaded

export class Now {
  constructor() {
    this.panels = new Map();
    this.held = null; // scores and columns that arrive before the panels
  }

  // Keeps scores and columns until `show`, for a program that has just been connected.
  hold() {
    this.held = [];
  }

  // Sets the classes and bands, which are constant while the program runs.
  begin(classes, bandsHz) {
    this.classes = classes;
    this.bandsHz = bandsHz;
    for (const panel of this.panels.values()) panel.picture.stop();
    this.panels.clear();
    byId("sources").replaceChildren();
  }

  show(sources) {
    const list = byId("sources");
    if (!sources.length) {
      list.replaceChildren(el("p", { class: "empty" }, t("No source.")));
      return;
    }
    list.classList.toggle("many", sources.length > MANY);
    keep(list, sources, (source) => source.name, (source) => this.make(source), (_, source) => this.update(source));
    for (const name of this.panels.keys()) {
      if (!sources.some((source) => source.name === name)) {
        this.panels.get(name).picture.stop();
        this.panels.delete(name);
      }
    }
    const held = this.held ?? [];
    this.held = null;
    for (const message of held) this.take(message);
  }

  take(message) {
    if (this.held) {
      this.held.push(message);
      if (this.held.length > MOST_HELD) this.held.shift();
      return;
    }
    const panel = this.panels.get(message.source);
    if (!panel) return;
    if (message.type === "columns") panel.picture.take(message);
    if (message.type === "scores") this.scores(panel, message);
    if (message.type === "level" && message.period === "1s") this.soundLevel(panel, message);
    if (message.onset) panel.picture.event(message);
  }

  make(source) {
    const canvas = el("canvas", { class: "picture", role: "img" });
    const panel = {
      canvas,
      state: el("span", { class: "source-state" }),
      about: el("p", { class: "muted about" }),
      level: el("p", { class: "level" }),
      soundLevel: el("p", { class: "sound-level", hidden: true }),
      also: el("li", { class: "note", hidden: true }),
      button: el("button", { type: "button", onclick: () => this.switch(source.name) }),
      rows: new Map(),
    };
    const bars = el("ul", { class: "scores", "aria-label": t("Scores of {source} now", { source: source.name }) });
    for (const class_ of this.classes) {
      const row = this.row(class_);
      panel.rows.set(class_.name, row);
      bars.append(row.element);
    }
    bars.append(el("li", { class: "note" }, t("The mark is the threshold.")), panel.also);
    panel.picture = new Spectrogram(canvas, this.bandsHz);
    this.panels.set(source.name, panel);
    const name = el("div", { class: "name" }, el("h3", {}, source.name), panel.state, panel.about);
    return el(
      "article",
      { class: "source", "aria-label": source.name },
      el("div", { class: "source-head" }, name, panel.soundLevel, panel.level, panel.button),
      el("div", { class: "source-body" }, canvas, bars),
    );
  }

  row({ name, threshold }) {
    const bar = el("span", {
      class: "meter",
      role: "meter",
      "aria-label": words(name),
      "aria-valuemin": 0,
      "aria-valuemax": 1,
      "aria-valuenow": 0,
      "aria-valuetext": t("none"),
    });
    if (threshold !== null) bar.style.setProperty("--threshold", threshold);
    const value = el("span", { class: "value" }, "–");
    const element = el("li", { class: threshold === null ? "off" : "" }, el("span", { class: "label" }, words(name)), bar, value);
    return { element, bar, value, threshold };
  }

  update(source) {
    const panel = this.panels.get(source.name);
    setText(panel.state, STATES[source.state] ?? source.state);
    panel.state.dataset.state = source.faults.length && source.state === "running" ? "poor" : source.state;
    const faults = source.faults.length ? t("Faults in the sound: {faults}.", { faults: source.faults.map(words).join(t(", ")) }) : "";
    const detail = source.state === "running" || source.state === "paused" ? (source.description ?? "") : source.detail;
    setText(panel.about, [faults || detail].join(" "));
    panel.paused = source.state === "paused";
    if (panel.wanted === undefined || panel.wanted === panel.paused) this.ready(panel, source.name);
    panel.button.hidden = source.state === "ended";
    this.showListening(panel, source);
    if (source.state !== "running") this.clear(panel);
    else if (source.last) this.scores(panel, source.last);
    const picture = t("The last minute of {source}: spectrogram, level and events.", { source: source.name });
    const present = source.state === "running" && source.last ? t("Current level: {level}.", { level: level(source.last.level_dbfs) }) : "";
    panel.canvas.setAttribute("aria-label", `${picture} ${present}`.trim());
  }

  // The button, where the owner allows to listen, and the number of listeners.
  showListening(panel, source) {
    if (source.listen && !panel.listen) {
      panel.listen = el("button", { type: "button", onclick: () => this.listen(panel, source.name) });
      panel.audio = el("audio", { class: "live", hidden: true });
      panel.button.before(panel.audio, panel.listen);
      this.listenText(panel, source.name);
    }
    if (panel.listen) panel.listen.hidden = !source.listen || source.state !== "running";
    if (source.listeners) {
      panel.listeners ??= panel.about.parentElement.appendChild(el("p", { class: "listeners", role: "status" }));
      setText(panel.listeners, t("{n} people listen to this source now.", { n: source.listeners }));
    } else if (panel.listeners) setText(panel.listeners, "");
  }

  listenText(panel, name) {
    setText(panel.listen, panel.listener ? t("Stop listening") : t("Listen"));
    panel.listen.setAttribute("aria-label", `${panel.listen.textContent}: ${name}`);
  }

  listen(panel, name) {
    if (panel.listener) {
      panel.listener.stop();
      return;
    }
    panel.listener = new Listener(name, panel.audio, (reason) => {
      if (reason !== null) panel.listener = null;
      if (reason) setText(panel.about, reason);
      this.listenText(panel, name);
      document.dispatchEvent(new Event("listening"));
    });
    this.listenText(panel, name);
  }

  ready(panel, name) {
    clearTimeout(panel.timer);
    panel.wanted = undefined;
    panel.button.disabled = false;
    setText(panel.button, panel.paused ? t("Resume") : t("Pause"));
    panel.button.setAttribute("aria-label", `${panel.button.textContent}: ${name}`);
  }

  async switch(name) {
    const panel = this.panels.get(name);
    panel.wanted = !panel.paused;
    panel.button.disabled = true;
    panel.timer = setTimeout(() => this.ready(panel, name), SWITCHING_MS);
    try {
      await ask(`api/sources/${encodeURIComponent(name)}/${panel.wanted ? "pause" : "resume"}`, { method: "POST", body: {} });
    } catch (error) {
      this.ready(panel, name);
      setText(panel.about, error.message);
    }
  }

  scores(panel, window_) {
    setText(panel.level, level(window_.level_dbfs));
    panel.picture.level(Date.parse(window_.time), window_.level_dbfs);
    for (const [name, row] of panel.rows) {
      const value = window_.scores[name] ?? 0;
      row.bar.style.setProperty("--value", value);
      row.bar.setAttribute("aria-valuenow", value.toFixed(2));
      row.bar.removeAttribute("aria-valuetext");
      setText(row.value, score(value));
      row.element.classList.toggle("over", row.threshold !== null && value >= row.threshold);
    }
    panel.also.hidden = !window_.tags;
    setText(panel.also, window_.tags ? t("Also: {tags}", { tags: highest(window_.tags) }) : "");
  }

  // The sound level meter's last second; without a meter there is none, and the level of the window is shown.
  soundLevel(panel, { laeq_db, lafmax_db, calibrated }) {
    if (panel.paused) return;
    const value = (name, db) => el("span", {}, el("span", { class: "kind" }, name), " ", el("strong", {}, decibels(db)));
    panel.soundLevel.replaceChildren(value("LAeq 1 s", laeq_db), " ", value("LAFmax", lafmax_db), " ", el("span", { class: "kind" }, weighted(calibrated)));
    panel.soundLevel.hidden = false;
    panel.level.hidden = true;
  }

  clear(panel) {
    panel.soundLevel.hidden = true;
    panel.level.hidden = false;
    setText(panel.level, "–");
    for (const row of panel.rows.values()) {
      row.bar.style.setProperty("--value", 0);
      row.bar.setAttribute("aria-valuenow", 0);
      row.bar.setAttribute("aria-valuetext", t("none"));
      setText(row.value, "–");
      row.element.classList.remove("over");
      panel.also.hidden = true;
    }
  }
}
