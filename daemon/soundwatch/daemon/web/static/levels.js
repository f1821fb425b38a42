// Sound levels of a day, from the meter's quarters of an hour: a chart and a table for each source. A quarter without
// sound is a gap in both: a gap is never silence. Levels with and without calibration are never in one chart.

import { byId, el, mark, svg } from "./dom.js";
import { decibels, share, weighted } from "./format.js";
import { locale, t } from "./language.js";
import { ask } from "./net.js";
import { Part } from "./part.js";

const WIDTH = 960;
const HEIGHT = 160;
const STEP_DB = 10;
const LEAST_DB = 30; // range of the axis
const SOON_MS = 1000;

const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const known = (value) => value !== null && value !== undefined;

export class Levels {
  constructor() {
    this.part = new Part("levels", (current) => this.load(current), (reason) => t("The levels cannot be shown: {reason}", { reason }), {
      subject: () => JSON.stringify([this.since, this.source]),
      clear: () => byId("levels").replaceChildren(),
    });
  }

  show(since, until, source) {
    Object.assign(this, { since, until, source });
    return this.part.load();
  }

  // Handles a numbered line of the stream; the sources' lines come at almost one time.
  take(line) {
    if (line.period !== "15min" || new Date(line.start) < this.since || new Date(line.start) >= this.until) return;
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.part.load(), SOON_MS);
  }

  async load(current) {
    const { since, until, source } = this;
    const levels = [];
    for (let after = 0; after !== null; ) {
      const page = await ask("api/levels", { query: { since: since.toISOString(), until: until.toISOString(), source, after, limit: 1000 } });
      if (!current()) return;
      levels.push(...page.levels);
      after = page.next;
    }
    const charts = new Map();
    for (const level of levels) {
      const key = JSON.stringify([level.source, !level.calibrated]);
      if (!charts.has(key)) charts.set(key, []);
      charts.get(key).push(level);
    }
    const open = new Set([...byId("levels").querySelectorAll("details[open]")].map((details) => details.dataset.key));
    const focused = byId("levels").contains(document.activeElement) ? document.activeElement.parentElement.dataset.key : undefined;
    const figures = [...charts].sort(([one], [other]) => (one < other ? -1 : 1)).map(([key, found]) => figure(key, found, since, until, open.has(key)));
    byId("levels").replaceChildren(...figures);
    if (focused !== undefined) byId("levels").querySelector(`details[data-key="${CSS.escape(focused)}"] > summary`)?.focus();
  }
}

// Periods in milliseconds, ordered by time. A restart splits a quarter into two lines; the second begins where the first ends.
function periods(levels) {
  let last = -Infinity;
  const spans = levels.map((level) => ({ ...level, begin: Date.parse(level.start), end: Date.parse(level.time) }));
  spans.sort((one, other) => one.end - other.end);
  for (const span of spans) {
    span.begin = Math.max(span.begin, Math.min(last, span.end));
    last = span.end;
  }
  return spans;
}

function figure(key, levels, since, until, open) {
  const spans = periods(levels);
  const { source, calibrated } = levels[0];
  const values = spans.flatMap((span) => [span.l90_db, span.laeq_db, span.lafmax_db]).filter(known);
  const unit = weighted(calibrated);
  const title = el("p", { class: "chart-title" }, el("strong", {}, t("Sound level of {source}", { source })), el("span", { class: "muted" }, unit));
  const legend = el("p", { class: "legend" }, el("span", { class: "key-line" }), "LAeq 15 min", el("span", { class: "key-band" }), t("L90 to LAFmax"));
  const head = el("div", { class: "chart-head" }, title, legend);
  const chart = values.length ? drawn(spans, values, `${source}, ${unit}`, since, until) : el("p", { class: "empty" }, t("Digital silence."));
  return el("figure", { class: "chart", "aria-label": t("Sound level of {source}, {unit}", { source, unit }) }, head, chart, table(key, spans, `${source}, ${unit}`, open));
}

function drawn(spans, values, name, since, until) {
  const high = Math.ceil(Math.max(...values) / STEP_DB) * STEP_DB;
  const low = Math.min(Math.floor(Math.min(...values) / STEP_DB) * STEP_DB, high - LEAST_DB);
  const x = (ms) => Math.round(((ms - since) / (until - since)) * WIDTH * 100) / 100;
  const y = (db) => Math.round(((high - db) / (high - low)) * HEIGHT * 100) / 100;
  const stepDb = high - low > 6 * STEP_DB ? 2 * STEP_DB : STEP_DB;
  const levels = [];
  for (let db = Math.floor(high / stepDb) * stepDb; db >= low; db -= stepDb) levels.push(db);
  const hours = [0, 6, 12, 18, 24].map((hour) => [hour, new Date(since.getFullYear(), since.getMonth(), since.getDate(), hour)]);
  const grid = [
    ...levels.map((db) => svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: y(db), y2: y(db) })),
    ...hours.map(([, moment]) => svg("line", { class: "grid", x1: x(moment), x2: x(moment), y1: 0, y2: HEIGHT })),
  ];
  const bands = runs(spans, ["l90_db", "lafmax_db"]).map((run) => {
    const upper = run.flatMap((span) => [`${x(span.begin)},${y(span.lafmax_db)}`, `${x(span.end)},${y(span.lafmax_db)}`]);
    const lower = run.flatMap((span) => [`${x(span.begin)},${y(span.l90_db)}`, `${x(span.end)},${y(span.l90_db)}`]);
    return svg("polygon", { class: "band", points: [...upper, ...lower.reverse()].join(" ") });
  });
  const lines = runs(spans, ["laeq_db"]).map((run) =>
    svg("polyline", { class: "mean", points: run.flatMap((span) => [`${x(span.begin)},${y(span.laeq_db)}`, `${x(span.end)},${y(span.laeq_db)}`]).join(" ") }),
  );
  const means = spans.map((span) => span.laeq_db).filter(known);
  const summary = means.length ? t("LAeq from {low} to {high}", { low: decibels(Math.min(...means)), high: decibels(Math.max(...means)) }) : t("no LAeq");
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": t("Sound level of {name}: {summary}. The table below has all values.", { name, summary }) }, ...grid, ...bands, ...lines);
  return el("div", { class: "plot" }, el("div", { class: "db-axis", "aria-hidden": "true" }, ...levels.map((db) => mark(decibels(db).replace(/[.,]0$/, ""), y(db) / HEIGHT))), picture, el("div", { class: "hour-axis", "aria-hidden": "true" }, ...hours.map(([hour, moment]) => mark(String(hour).padStart(2, "0"), x(moment) / WIDTH))));
}

// Splits periods where one is missing or has no level.
function runs(spans, keys) {
  const found = [];
  let last = null;
  for (const span of spans) {
    const valid = keys.every((key) => known(span[key]));
    if (valid && last !== null && span.begin <= last) found.at(-1).push(span);
    else if (valid) found.push([span]);
    last = valid ? span.end : null;
  }
  return found;
}

function table(key, spans, name, open) {
  const row = (span) =>
    el("tr", {}, el("th", { scope: "row" }, t("{from} to {to}", { from: clock.format(span.begin), to: clock.format(span.end) })), ...["laeq_db", "lafmax_db", "l90_db"].map((level) => el("td", {}, decibels(span[level]))), el("td", {}, share(span.coverage)));
  const head = [t("Time"), "LAeq", "LAFmax", "L90", t("Coverage")].map((text) => el("th", { scope: "col" }, text));
  const body = el("table", {}, el("caption", { class: "unseen" }, t("Sound level of {source}", { source: name })), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...spans.map(row)));
  return el("details", { "data-key": key, open }, el("summary", {}, t("Table")), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("Table of the sound level of {name}", { name }) }, body));
}
