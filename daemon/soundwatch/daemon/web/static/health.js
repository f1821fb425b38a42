// Health of the machine, the sources, the journal and the sinks; facts about the model.

import { clocksDifferS } from "./clock.js";
import { byId, el } from "./dom.js";
import { past, share, span } from "./format.js";
import { card } from "./card.js";
import { fixed, locale, t, words } from "./language.js";

const COLUMNS = {
  sources: [t("Source"), t("Coverage"), t("Gaps"), t("Delay")],
  sinks: [t("Sink"), t("State"), t("Behind"), t("Not delivered")],
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
    : el("p", { class: "good" }, t("No problems."));
  const journal = { working: t("written"), failing: t("not writable, kept in memory"), memory: t("in memory only") }[health.journal.state];
  const facts = [
    [t("Running for"), span(health.uptime_s)],
    [t("Journal"), `${journal}, ${t("{n} lines", { n: health.last_seq })}`],
    [t("Lines dropped"), health.journal.dropped_lines.toLocaleString(locale)],
    [t("Windows dropped"), (health.overload?.dropped_windows ?? 0).toLocaleString(locale)],
  ];
  const machine = el("dl", { class: "facts" }, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  const sourceRows = sources.map((source) => [
    source.name,
    share(source.last?.coverage),
    source.gaps ? `${source.gaps.toLocaleString(locale)}, ${span(source.last?.lost_s ?? 0)}` : t("none"),
    source.last ? `${Math.round(source.last.delay_ms)} ms` : "–",
  ]);
  const sinkRows = sinks.map((sink) => [
    sink.name,
    el("span", { class: "state", "data-state": sink.state }, sink.state === "working" ? words("working") : `${t("{state} since {time}", { state: words(sink.state), time: past(sink.since) })}${sink.reason ? `: ${sink.reason}` : ""}`),
    t("{n} lines", { n: sink.behind_lines }),
    (sink.lost_lines + sink.skipped_lines).toLocaleString(locale),
  ]);
  byId("health").replaceChildren(
    el("div", {}, el("h3", {}, t("Machine")), problems, clocks(), calibration(health), machine),
    el("div", {}, el("h3", {}, t("Sources")), table(COLUMNS.sources, sourceRows)),
    el("div", {}, el("h3", {}, t("Sinks")), sinks.length ? table(COLUMNS.sinks, sinkRows) : el("p", { class: "muted" }, t("No sink besides this page."))),
  );
  byId("about").textContent = t("soundwatch {version} on {node}, {provider}", { version: health.version, node: health.node, provider: health.provider });
}

// The difference of the clocks, where there is one.
function clocks() {
  const seconds = clocksDifferS();
  return seconds ? el("p", { class: "note" }, t("The clocks of soundwatch and of this browser differ by {span}; times are those of soundwatch.", { span: span(seconds) })) : "";
}

// The next step for microphones without a calibration.
function calibration({ uncalibrated, calibrate }) {
  if (!uncalibrated.length) return "";
  const sentences = uncalibrated.map((source) => el("p", {}, t("{source} is not calibrated: its thresholds are the model's.", { source })));
  return el("div", { class: "next-step" }, ...sentences, el("p", {}, t("Next step: the thresholds of this place, by"), " ", el("code", {}, calibrate)));
}

export function showModel(model) {
  const { contract } = model;
  const scores = contract.scores.map((row) => [row.tested_on, row.trained_on, fixed(row.accuracy, 3), fixed(row.macro_f1, 3)]);
  const facts = [
    [t("Model"), model.identity],
    [t("Runs on"), model.provider],
    [t("Classes"), String(contract.labels.length)],
    [t("Window"), `${contract.features.window_ms / 1000} s`],
    [t("Parameters"), contract.provenance.parameters.toLocaleString(locale)],
    [t("License"), contract.provenance.licence],
  ];
  byId("model").replaceChildren(
    el("dl", { class: "facts wide" }, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    scores.length ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": t("Scores of the model") }, table([t("Tested on"), t("Trained on"), t("Accuracy"), t("Macro F1")], scores)) : "",
    model.card ? el("details", { class: "card" }, el("summary", {}, t("Model card")), card(model.card)) : "",
  );
}
