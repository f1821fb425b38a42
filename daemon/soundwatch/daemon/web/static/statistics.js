// Statistics of a day or a week: heat maps of events and levels by hour, the comparison with the period before, coverage. The hours and days
// are those of the place, as the API gives them.

import { byId, el, setText } from "./dom.js";
import { decibels, level, share, span, weighted } from "./format.js";
import { fixed, isolated, locale, t, words } from "./language.js";
import { ask } from "./net.js";
import { Part } from "./part.js";

const SHADES = 4;
const LEAST = 0.5; // hours with less coverage are hatched
const DAY_MS = 86400000;
const REFRESH_MS = 300000;
const LEAST_STEP_DB = 1; // of a shade

const hourOf = (hour) => Number(hour.local.slice(11, 13));
const utcDay = (text) => new Date(`${text}T00:00:00Z`);
const date = new Intl.DateTimeFormat(locale, { weekday: "short", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const moment = new Intl.DateTimeFormat(locale, { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", day: "numeric", month: "short", timeZone: "UTC" });
const short = new Intl.DateTimeFormat(locale, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });

export class Statistics {
  constructor() {
    this.period = "week";
    this.date = null;
    this.follows = true; // the calendar
    this.part = new Part("statistics", (current) => this.load(current), (reason) => t("The statistics cannot be shown: {reason}", { reason }), {
      subject: () => `${this.period} ${this.date}`,
      clear: () => this.clear(),
    });
    byId("by-day").addEventListener("click", () => this.choose("day"));
    byId("by-week").addEventListener("click", () => this.choose("week"));
    byId("period-back").addEventListener("click", () => this.move(-1));
    byId("period-on").addEventListener("click", () => this.move(1));
    setInterval(() => !document.hidden && this.follows && this.reload(), REFRESH_MS);
  }

  choose(period) {
    this.period = period;
    for (const name of ["day", "week"]) byId(`by-${name}`).setAttribute("aria-pressed", String(name === period));
    this.reload();
  }

  move(periods) {
    if (!this.shown) return;
    const days = periods * (this.period === "week" ? 7 : 1);
    this.date = new Date(utcDay(this.shown.first_day).getTime() + days * DAY_MS).toISOString().slice(0, 10);
    this.follows = false;
    this.reload();
  }

  reload() {
    return this.part.load();
  }

  async load(current) {
    const found = await ask("api/statistics", { query: { period: this.period, date: this.follows ? null : this.date } });
    if (!current()) return;
    this.shown = found;
    if (!found.complete) this.follows = true;
    this.draw(found);
  }

  clear() {
    setText(byId("statistics-period"), "");
    byId("statistics").replaceChildren(this.part.placeholder);
  }

  draw(found) {
    byId("period-on").disabled = !found.complete;
    const first = date.format(utcDay(found.first_day));
    setText(byId("statistics-period"), periodName(found, first));
    const parts = [el("p", { class: "summary" }, summary(found))];
    if (found.classes.some((row) => row.events)) parts.push(heatMap(t("Class"), t("Class by hour"), t("now / before"), byClass(found)));
    if (found.period === "week") parts.push(heatMap(t("Day"), t("Day by hour"), t("total"), byDay(found)));
    parts.push(...levelMaps(found), facts(found), el("p", { class: "muted note" }, t("Times of {place}. Hatched: scored for less than half of the hour.", { place: found.time_zone ?? t("the machine") }), zones(found)));
    byId("statistics").replaceChildren(...parts);
  }
}

function periodName(found, first) {
  if (found.period === "week") return found.complete ? t("week of {date}", { date: first }) : t("week of {date}, so far", { date: first });
  return found.complete ? first : t("{date}, so far", { date: first });
}

function summary(found) {
  const before = found.previous_events;
  const change = before ? ` (${found.events >= before ? "+" : "−"}${Math.abs(Math.round((100 * (found.events - before)) / before))} %)` : "";
  const values = { before: `${before.toLocaleString(locale)}${change}`, coverage: share(found.coverage) };
  const count = t("{n} events, {duration} in all", { n: found.events, duration: span(found.duration_s) });
  const rest = found.period === "week"
    ? found.complete ? t("the week before {before}. Coverage {coverage}.", values) : t("the week before up to this time {before}. Coverage {coverage}.", values)
    : found.complete ? t("the day before {before}. Coverage {coverage}.", values) : t("the day before up to this time {before}. Coverage {coverage}.", values);
  return `${count}${t("; ")}${rest}`;
}

// Rows of classes: the events of each hour of the day, and the total with that of the period before.
function byClass(found) {
  const low = Array.from({ length: 24 }, (_, hour) => {
    const shares = found.hours.filter((one) => hourOf(one) === hour && one.coverage !== null).map((one) => one.coverage);
    return shares.length > 0 && shares.reduce((sum, one) => sum + one, 0) / shares.length < LEAST;
  });
  return found.classes.map((row) => {
    const counts = new Array(24).fill(0);
    row.by_hour.forEach((count, index) => (counts[hourOf(found.hours[index])] += count));
    return { name: words(row.class), cells: counts.map((count, hour) => ({ count, low: low[hour] })), total: `${row.events.toLocaleString(locale)} / ${row.previous_events.toLocaleString(locale)}` };
  });
}

// Days that have not begun have no row.
const begun = ([, cells]) => cells.some((cell) => cell !== null);

// Rows of days. An hour that a day lacks, or that has not begun, has no cell; an hour that a day has twice is one cell.
function byDay(found) {
  const days = new Map();
  for (const hour of found.hours) {
    const day = hour.local.slice(0, 10);
    if (!days.has(day)) days.set(day, new Array(24).fill(null));
    if (hour.begin >= found.end) continue;
    const cell = (days.get(day)[hourOf(hour)] ??= { count: 0, low: false });
    cell.count += hour.events;
    cell.low ||= hour.coverage !== null && hour.coverage < LEAST;
  }
  return [...days].filter(begun).map(([day, cells]) => ({ name: short.format(utcDay(day)), cells, total: cells.reduce((sum, cell) => sum + (cell?.count ?? 0), 0).toLocaleString(locale) }));
}

function heatMap(corner, name, last, rows) {
  const highest = Math.max(1, ...rows.flatMap((row) => row.cells.map((cell) => cell?.count ?? 0)));
  return hourTable(corner, name, last, rows, (cell) => shaded(cell, highest));
}

function hourTable(corner, name, last, rows, draw) {
  const head = Array.from({ length: 24 }, (_, hour) => el("th", { scope: "col" }, String(hour).padStart(2, "0")));
  const body = rows.map((row) => el("tr", {}, el("th", { scope: "row" }, row.name), ...row.cells.map(draw), el("td", { class: "total" }, row.total)));
  const total = el("th", { scope: "col" }, last);
  const table = el("table", { class: "heat" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, corner), ...head, total)), el("tbody", {}, ...body));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": name }, table);
}

function shaded(cell, highest) {
  if (!cell) return el("td", { class: "none" });
  const shade = Math.ceil((cell.count * SHADES) / highest);
  return el("td", { class: `shade-${shade}${cell.low ? " low" : ""}` }, cell.count ? cell.count.toLocaleString(locale) : "");
}

// Mean levels by the hour: of a day one row for each source, of a week one map for each source. Levels with and without
// calibration are never in one map.
function levelMaps(found) {
  const maps = [];
  for (const calibrated of [true, false]) {
    const sources = found.levels.filter((row) => row.calibrated === calibrated).map((row) => ({ ...row, cells: levelCells(found, row.by_hour) }));
    if (!sources.length) continue;
    const unit = weighted(calibrated);
    if (found.period === "day") maps.push(levelMap(t("Source"), `LAeq, ${unit}`, t("whole day"), sources.map(({ source, cells, laeq_db }) => ({ name: source, cells: cells[0].cells, total: decibels(laeq_db) }))));
    else for (const { source, cells } of sources) maps.push(levelMap(t("Day"), `LAeq, ${unit}, ${isolated(source)}`, t("highest"), cells));
  }
  return maps;
}

// Rows of days with the levels of their hours; an hour that a day has twice has the higher one.
function levelCells(found, levels) {
  const days = new Map();
  found.hours.forEach((hour, index) => {
    const day = hour.local.slice(0, 10);
    if (!days.has(day)) days.set(day, new Array(24).fill(null));
    if (hour.begin >= found.end) return;
    const cell = (days.get(day)[hourOf(hour)] ??= { db: null });
    if (levels[index] !== null) cell.db = Math.max(cell.db ?? -Infinity, levels[index]);
  });
  return [...days].filter(begun).map(([day, cells]) => ({ name: short.format(utcDay(day)), cells, total: highestOf(cells) }));
}

function highestOf(cells) {
  const known = cells.filter((cell) => cell && cell.db !== null).map((cell) => cell.db);
  return known.length ? decibels(Math.max(...known)) : "–";
}

function levelMap(corner, name, last, rows) {
  const known = rows.flatMap((row) => row.cells).filter((cell) => cell && cell.db !== null).map((cell) => cell.db);
  const low = Math.min(...known);
  const step = Math.max(LEAST_STEP_DB, (Math.max(...known) - low) / SHADES);
  const draw = (cell) => {
    if (!cell) return el("td", { class: "none" });
    if (cell.db === null) return el("td", { class: "shade-0" });
    const shade = Math.min(SHADES, 1 + Math.floor((cell.db - low) / step));
    return el("td", { class: `shade-${shade}` }, fixed(cell.db, 0));
  };
  return el("figure", { class: "level-map" }, el("figcaption", {}, name), hourTable(corner, name, last, rows, draw));
}

// The difference of the time zones of the place and of the browser, where there is one.
function zones({ hours: [{ begin, local }] }) {
  const placeMs = Date.parse(`${local.slice(0, 16)}Z`) - Date.parse(begin);
  const seconds = Math.abs(placeMs / 1000 + 60 * new Date(begin).getTimezoneOffset());
  return seconds ? ` ${t("All other times are those of this browser, whose time zone differs by {span}.", { span: span(seconds) })}` : "";
}

// The class, the source, the local time, the duration and the level of an event.
function notable(event) {
  const parts = [words(event.class), isolated(event.source), moment.format(new Date(`${event.local.slice(0, 16)}Z`)), event.duration_s === null ? t("active") : span(event.duration_s)];
  return [...parts, event.level_dba === null ? level(event.level_dbfs) : `${fixed(event.level_dba, 1)} dB(A)`].join(t(", "));
}

function facts(found) {
  const rows = [[t("Longest"), found.longest], [t("Highest level"), found.loudest], [t("Lowest level"), found.quietest]]
    .filter(([, event]) => event)
    .map(([name, event]) => [name, notable(event)]);
  for (const source of found.sources) rows.push([source.source, t("{n} events, coverage {coverage}", { n: source.events, coverage: share(source.coverage) })]);
  return el("dl", { class: "facts" }, ...rows.map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
}
