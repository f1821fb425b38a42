// Health of the machine, the sources, the journal and the sinks; facts about the model.

import { byId, el } from "./dom.js";
import { many, share, span, time } from "./format.js";
import { card } from "./card.js";

const COLUMNS = {
  sources: ["Source", "Coverage", "Gaps", "Delay"],
  sinks: ["Sink", "State", "Behind"],
};

const table = (headings, rows) =>
  el(
    "table",
    {},
    el("thead", {}, el("tr", {}, ...headings.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((text, place) => el(place ? "td" : "th", place ? {} : { scope: "row" }, text))))),
  );

export function showHealth(health, sources, sinks) {
  const problems = health.problems.length
    ? el("ul", { class: "problems" }, ...health.problems.map((text) => el("li", {}, text)))
    : el("p", { class: "good" }, "No problems.");
  const journal = { working: "written", failing: "not writable, kept in memory", memory: "in memory only" }[health.journal.state];
  const facts = [
    ["Running for", span(health.uptime_s)],
    ["Journal", `${journal}, ${many(health.last_seq, "line")}`],
    ["Lines dropped", health.journal.dropped_lines.toLocaleString()],
    ["Windows dropped", (health.overload?.dropped_windows ?? 0).toLocaleString()],
  ];
  const machine = el("dl", { class: "facts" }, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  const sourceRows = sources.map((source) => [
    source.name,
    share(source.last?.coverage),
    source.gaps ? `${source.gaps.toLocaleString()}, ${span(source.last?.lost_s ?? 0)}` : "none",
    source.last ? `${Math.round(source.last.delay_ms)} ms` : "–",
  ]);
  const sinkRows = sinks.map((sink) => [
    sink.name,
    el("span", { class: "state", "data-state": sink.state }, sink.state === "working" ? "working" : `${sink.state} since ${time(sink.since)}${sink.reason ? `: ${sink.reason}` : ""}`),
    many(sink.behind_lines, "line"),
  ]);
  byId("health").replaceChildren(
    el("div", {}, el("h3", {}, "Machine"), problems, machine),
    el("div", {}, el("h3", {}, "Sources"), table(COLUMNS.sources, sourceRows)),
    el("div", {}, el("h3", {}, "Sinks"), sinks.length ? table(COLUMNS.sinks, sinkRows) : el("p", { class: "muted" }, "No sink besides this page.")),
  );
  byId("about").textContent = `soundwatch ${health.version} on ${health.node}, ${health.provider}`;
}

export function showModel(model) {
  const { contract } = model;
  const scores = contract.scores.map((row) => [row.tested_on, row.trained_on, row.accuracy.toFixed(3), row.macro_f1.toFixed(3)]);
  const facts = [
    ["Model", model.identity],
    ["Runs on", model.provider],
    ["Classes", String(contract.labels.length)],
    ["Window", `${contract.features.window_ms / 1000} s`],
    ["Parameters", contract.provenance.parameters.toLocaleString()],
    ["License", contract.provenance.licence],
  ];
  byId("model").replaceChildren(
    el("dl", { class: "facts wide" }, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    scores.length ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores of the model" }, table(["Tested on", "Trained on", "Accuracy", "Macro F1"], scores)) : "",
    model.card ? el("details", { class: "card" }, el("summary", {}, "Model card"), card(model.card)) : "",
  );
}
