// Settings in force of each source with their origin, and the schedules.

import { byId, el } from "./dom.js";

const TITLES = { gain_db: "Gain", high_pass_hz: "High-pass", threshold: "Threshold" };
const UNITS = { db: " dB", hz: " Hz", s: " s" };
const shown = (key, value) => {
  if (value === null) return key === "clips.classes" ? "all" : "none";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.join(", ") || "none";
  return `${typeof value === "number" ? Number(value.toFixed(4)) : value}${UNITS[key.split("_").at(-1)] ?? ""}`;
};
const title = (key) => {
  const parts = key.split(".");
  const name = parts.at(-1);
  const words = TITLES[name] ?? name.replace(/_(s|db|hz)$/, "").replaceAll("_", " ");
  const of = parts[0] === "clips" ? "Clips: " : parts[1] === "classes" ? `${parts[2].replaceAll("_", " ")}: ` : "";
  return of ? of + words.toLowerCase() : words.charAt(0).toUpperCase() + words.slice(1);
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
  const summary = own.length ? `${own.length} changed` : "defaults and the model's thresholds";
  const row = ({ key, value, origin }) =>
    el("tr", { class: origin === "default" ? "muted" : null }, el("th", { scope: "row" }, title(key)), el("td", {}, shown(key, value)), el("td", { class: "origin" }, origin));
  return el(
    "details",
    { class: "card", "data-source": source.name, open },
    el("summary", {}, `${source.name}: ${summary}`),
    el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": `Settings of ${source.name}` },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...["Setting", "Value", "From"].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, ...[...own, ...source.settings.filter((other) => !own.includes(other))].map(row)),
      ),
    ),
  );
}

function schedules(list) {
  if (!list.length) return "";
  const state = ({ enabled, active }) => (active ? "active now" : enabled ? "waiting for its time" : "disabled");
  return el("ul", { class: "muted schedules" }, ...list.map((schedule) => el("li", {}, `Schedule ${schedule.name}: ${state(schedule)}`)));
}
