// Settings in force of each source with their origin, and the schedules.

import { byId, el } from "./dom.js";
import { isolated, locale, t, words } from "./language.js";
import { keyTitle } from "./titles.js";

const UNITS = { db: " dB", hz: " Hz", s: " s" };
const shown = (key, value) => {
  if (value === null) return key === "clips.classes" ? t("all") : t("none");
  if (typeof value === "boolean") return value ? t("yes") : t("no");
  if (Array.isArray(value)) return value.map(words).join(t(", ")) || t("none");
  return `${typeof value === "number" ? value.toLocaleString(locale, { maximumFractionDigits: 4, useGrouping: false }) : value}${UNITS[key.split("_").at(-1)] ?? ""}`;
};
const title = (key) => {
  const parts = key.split(".");
  const name = keyTitle(key) || parts.at(-1);
  if (parts[0] === "clips") return t("Clips: {setting}", { setting: name });
  return parts[1] === "classes" ? t("{class}: {setting}", { class: words(parts[2]), setting: name }) : name;
};

let before = "";

export function showSettings(answer) {
  const text = JSON.stringify(answer);
  if (text === before) return; // opened tables stay open
  before = text;
  const open = new Set([...byId("settings").querySelectorAll("details[open]")].map((element) => element.dataset.source));
  byId("settings").replaceChildren(...answer.sources.map((source) => sourceSettings(source, open.has(source.name))), schedules(answer.schedules));
}

function sourceSettings(source, open) {
  const own = source.settings.filter((row) => row.origin !== "default" && !row.origin.startsWith("model "));
  const summary = own.length ? t("{n} changed", { n: own.length }) : t("defaults and the model's thresholds");
  const row = ({ key, value, origin }) =>
    el("tr", { class: origin === "default" ? "muted" : null }, el("th", { scope: "row" }, title(key)), el("td", {}, shown(key, value)), el("td", { class: "origin" }, origin === "default" ? t("default") : origin));
  return el(
    "details",
    { class: "card", "data-source": source.name, open },
    el("summary", {}, `${isolated(source.name)}: ${summary}`),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": t("Settings of {source}", { source: source.name }) },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...[t("Setting"), t("Value"), t("From")].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, ...[...own, ...source.settings.filter((other) => !own.includes(other))].map(row)),
      ),
    ),
  );
}

function schedules(list) {
  if (!list.length) return "";
  const state = ({ enabled, active }) => (active ? t("active now") : enabled ? t("waiting for its time") : t("disabled"));
  return el("ul", { class: "muted schedules" }, ...list.map((schedule) => el("li", {}, t("Schedule {name}: {state}", { name: schedule.name, state: state(schedule) }))));
}
