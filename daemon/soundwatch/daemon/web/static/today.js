// The events of a day: counts by hour, and a list with filters.

import { present } from "./clock.js";
import { byId, el, keep, setText } from "./dom.js";
import { makeEvent, updateEvent } from "./event.js";
import { day, midnight } from "./format.js";
import { Hours } from "./hours.js";
import { Levels } from "./levels.js";
import { t, words } from "./language.js";
import { ask } from "./net.js";
import { Part } from "./part.js";

const TYPING_MS = 250;

// The higher of two levels; null is digital silence.
const highest = (one, other) => (one === null || one === undefined ? other : Math.max(one, other ?? one));

export class Today {
  constructor() {
    this.events = new Map();
    this.streamed = new Map(); // events that changed since the last request
    this.classes = [];
    this.next = null;
    this.daysBack = 0;
    this.hours = new Hours((name) => this.choose(name));
    this.list = new Part("events", (current, before) => this.load(current, before), (reason) => t("The events cannot be shown: {reason}", { reason }), {
      subject: () => JSON.stringify(this.query()),
      clear: () => this.clear(),
    });
    this.chart = new Part("hours", (current) => this.count(current), (reason) => t("The chart of the day cannot be shown: {reason}", { reason }), {
      subject: () => JSON.stringify([this.since, byId("source").value]),
      clear: () => this.showCounts([]),
    });
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    for (const id of ["class", "source", "score", "sound"]) byId(id).addEventListener("change", () => this.reload());
    byId("text").addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.reload(), TYPING_MS);
    });
    byId("more").addEventListener("click", () => this.list.load(this.next));
    byId("earlier").addEventListener("click", () => this.turn(1));
    byId("later").addEventListener("click", () => this.turn(-1));
    this.levels = new Levels();
    this.rollOver();
  }

  begin(classes) {
    this.classes = classes;
    const chosen = byId("class").value;
    byId("class").replaceChildren(
      el("option", { value: "" }, t("All")),
      ...classes.map((class_) => el("option", { value: class_.name }, words(class_.name))),
    );
    byId("class").value = chosen;
  }

  sources(names) {
    byId("source-label").hidden = names.length < 2;
    const known = [...byId("source").options].slice(1).map((option) => option.value);
    if (JSON.stringify(known) === JSON.stringify(names)) return;
    byId("source").replaceChildren(el("option", { value: "" }, t("All")), ...names.map((name) => el("option", { value: name }, name)));
  }

  get since() {
    return midnight(new Date(present()), -this.daysBack);
  }

  get until() {
    return midnight(new Date(present()), 1 - this.daysBack);
  }

  // Shows the new day after midnight.
  rollOver() {
    clearTimeout(this.untilMidnight);
    this.untilMidnight = setTimeout(() => {
      if (this.daysBack === 0) this.reload();
      else this.daysBack += 1;
      this.rollOver();
    }, midnight(new Date(present()), 1) - present() + 1000);
  }

  turn(days) {
    this.daysBack = Math.max(0, this.daysBack + days);
    this.reload();
  }

  choose(name) {
    byId("class").value = name;
    this.reload();
  }

  reload() {
    byId("later").disabled = this.daysBack === 0;
    setText(byId("day-title"), this.daysBack === 0 ? t("Today") : this.daysBack === 1 ? t("Yesterday") : day(this.since));
    this.hours.chosen = byId("class").value;
    this.streamed = new Map();
    byId("more").disabled = true; // a page after the list of another filter or day
    this.levels.show(this.since, this.until, byId("source").value);
    return Promise.all([this.list.load(null), this.chart.load()]);
  }

  async count(current) {
    const query = { since: this.since.toISOString(), until: this.until.toISOString(), source: byId("source").value };
    this.started = false; // an event, since the request
    const { counts } = await ask("api/counts", { query });
    if (!current()) return;
    this.showCounts(counts);
    if (this.started && this.daysBack === 0) await this.chart.load(); // the response may be older than the event
  }

  showCounts(counts) {
    this.hours.show(counts);
    this.showState();
  }

  query() {
    return {
      since: this.since.toISOString(),
      until: this.until.toISOString(),
      class: byId("class").value,
      source: byId("source").value,
      min_score: byId("score").value,
      clip: byId("sound").value,
      text: byId("text").value.trim(),
    };
  }

  async load(current, before) {
    const page = await ask("api/events", { query: { ...this.query(), before } });
    if (!current()) return;
    if (before === null) this.events.clear();
    for (const event of page.events) this.events.set(event.id, event);
    // The response may be older than lines of the stream that came in the meantime.
    if (before === null && this.daysBack === 0) {
      for (const event of this.streamed.values()) if (this.wanted(event)) this.events.set(event.id, event);
    }
    this.next = page.next;
    byId("more").disabled = false;
    this.loaded = true;
    this.draw();
  }

  clear() {
    this.events.clear();
    this.next = null;
    this.loaded = false;
    this.draw();
    setText(byId("events-state"), t("Loading…"));
  }

  // Handles a line of the stream.
  take(line) {
    if (line.type === "clip" && line.id) {
      if (this.events.has(line.id)) ask(`api/events/${line.id}`).then((event) => this.changed(event), () => {});
      return;
    }
    const before = this.events.get(line.id);
    const event = { clip: null, label: null, ...before, ...line, active: line.type !== "end", time: before?.time ?? line.time, seq: before?.seq ?? line.seq, level_dbfs: before ? before.level_dbfs : line.level_dbfs, peak_level_dbfs: highest(before?.peak_level_dbfs, line.level_dbfs) };
    if (this.daysBack === 0 && line.type === "start" && !before) {
      this.started = true;
      const source = byId("source").value;
      if (this.chart.shown !== null && (!source || source === line.source)) {
        this.hours.add(line.class, line.time);
        this.hours.draw();
        this.showState();
      }
      setText(byId("announce"), `${words(line.class)}, ${line.source}`);
    }
    if (before || (this.daysBack === 0 && line.type === "start" && this.wanted(event))) this.changed(event);
  }

  wanted(event) {
    const text = byId("text").value.trim().toLowerCase();
    const searchText = `${event.class} ${event.class.replaceAll("_", " ")} ${words(event.class)} ${event.source}`.toLowerCase();
    const [class_, source, minScore] = ["class", "source", "score"].map((id) => byId(id).value);
    return (!class_ || class_ === event.class) && (!source || source === event.source) && event.peak_score >= Number(minScore) && (!byId("sound").value || Boolean(event.clip?.url)) && searchText.includes(text);
  }

  changed(event) {
    this.events.set(event.id, event);
    this.streamed.set(event.id, event);
    this.draw();
  }

  draw() {
    const events = [...this.events.values()].sort((one, other) => other.seq - one.seq);
    keep(
      byId("events"),
      events,
      (event) => event.id,
      () => makeEvent(() => this.classes, (changed) => this.changed(changed)),
      updateEvent,
    );
    byId("more").hidden = this.next === null;
    this.showState();
  }

  showState() {
    const filtered = ["class", "source", "score", "sound", "text"].some((id) => byId(id).value);
    const { total } = this.hours;
    setText(byId("day-total"), total ? t("{n} events", { n: total }) : "");
    if (!this.loaded) return;
    let text = "";
    if (!this.events.size) text = filtered ? t("No event matches the filter.") : this.daysBack ? t("No events on this day.") : t("No events yet today.");
    setText(byId("events-state"), text);
    byId("events-state").hidden = !text;
  }
}
