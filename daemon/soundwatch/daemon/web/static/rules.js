// Alert rules: sentence, decisions and outputs of each.

import { byId, el } from "./dom.js";
import { day, past, time } from "./format.js";
import { locale, t, words } from "./language.js";

const HELD = {
  "not_when.during": t("Quiet hours"),
  "not_when.cooldown_s": t("Cooldown"),
  "not_when.continues": t("Sound goes on"),
  "not_when.after": t("After another rule"),
  "then.limit": t("Limit"),
  schedules: t("Muted by a schedule"),
};
const COLUMNS = [t("Output"), t("State"), t("Sent"), t("Late"), t("Refused"), t("Last sent")];

let before = "";

export function showRules(rules) {
  const text = JSON.stringify(rules);
  if (text === before) return; // the place of a scrolled table stays
  before = text;
  byId("rules").replaceChildren(...(rules.length ? rules.map(rule) : [empty()]));
}

const empty = () =>
  el("p", { class: "empty" }, t("No rule sends messages. docs/rules.md has recipes for `rules` in the configuration file, and `soundwatch rules test` shows what a rule would have sent."));

function rule(status) {
  const state = status.enabled ? (status.outputs.some((output) => output.state !== "working") ? "failing" : "working") : "off";
  const states = { working: t("on"), failing: t("an output fails"), off: t("not enabled") };
  return el(
    "article",
    { class: "rule", "aria-label": t("Rule {name}", { name: status.name }) },
    el("div", { class: "rule-head" }, el("h3", {}, status.name), el("span", status.enabled ? { class: "state", "data-state": state } : { class: "muted" }, states[state])),
    el("p", {}, status.sentence),
    status.enabled ? el("p", { class: "muted" }, decisions(status)) : null,
    status.outputs.length ? outputs(status) : null,
  );
}

function decisions({ decided, held, last_decided: last, waiting }) {
  const reasons = Object.entries(held).map(([key, count]) => `${HELD[key] ?? key} ${count.toLocaleString(locale)}`);
  return [
    last === null ? t("No message so far") : t("{n} messages, the last one on {day}, {time}", { n: decided, day: day(new Date(last)), time: time(last) }),
    reasons.length ? t("held: {reasons}", { reasons: reasons.join(t(", ")) }) : t("none held"),
    ...(waiting ? [t("{n} messages wait for a clip", { n: waiting })] : []),
  ].join(t("; "));
}

function outputs(status) {
  const row = (output) => [
    output.name,
    el("span", { class: "state", "data-state": output.state }, state(output)),
    output.sent.toLocaleString(locale),
    output.late.toLocaleString(locale),
    output.refused.toLocaleString(locale),
    output.last_sent === null ? "–" : past(output.last_sent),
  ];
  const cells = (texts) => texts.map((text, place) => el(place ? "td" : "th", place ? {} : { scope: "row" }, text));
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": t("Outputs of {name} since the start", { name: status.name }) },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, ...COLUMNS.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...status.outputs.map((output) => el("tr", {}, ...cells(row(output))))),
    ),
  );
}

const state = ({ state: name, reason }) => (reason ? `${words(name)}: ${reason}` : words(name));
