// A day as small multiples: one row per class, one bar per hour. The name of a row filters the list.

import { byId, el, svg } from "./dom.js";
import { locale, t, words } from "./language.js";

const HEIGHT = 28;
const WIDTH = 240; // 24 hours of 10

export class Hours {
  constructor(choose) {
    this.choose = choose;
    this.counts = new Map(); // class -> 24 numbers
  }

  show(counts) {
    this.counts = new Map();
    for (const count of counts) this.add(count.class, count.time, count.events);
    this.draw();
  }

  add(class_, time, events = 1) {
    const hours = this.counts.get(class_) ?? new Array(24).fill(0);
    hours[new Date(time).getHours()] += events;
    this.counts.set(class_, hours);
  }

  get total() {
    return [...this.counts.values()].flat().reduce((sum, count) => sum + count, 0);
  }

  draw(chosen = this.chosen) {
    this.chosen = chosen;
    const box = byId("hours");
    const rows = [...this.counts].map(([name, hours]) => [name, hours, hours.reduce((sum, count) => sum + count, 0)]);
    rows.sort((one, other) => other[2] - one[2] || one[0].localeCompare(other[0]));
    const highest = Math.max(1, ...rows.flatMap(([, hours]) => hours));
    const focused = document.activeElement?.dataset?.class;
    const list = el("ul", { class: rows.length > 1 ? "multiples" : "multiples single", "aria-label": t("Events of each class by the hour") });
    list.append(...rows.slice(0, 2).map(axis), ...rows.map((row) => this.row(row, highest)));
    box.replaceChildren(rows.length ? list : "");
    if (focused !== undefined) box.querySelector(`button[data-class="${CSS.escape(focused)}"]`)?.focus();
  }

  row([name, hours, total], highest) {
    const bars = hours.map((count, hour) => {
      const height = count ? Math.max(3, (count / highest) * HEIGHT) : 0;
      const bar = svg("rect", { x: hour * 10 + 1, y: HEIGHT - height, width: 8, height, rx: 1 });
      bar.append(svg("title", {}, t("{from}:00 to {to}:00: {n} events", { from: hour, to: hour + 1, n: count })));
      return bar;
    });
    const base = svg("line", { x1: 0, x2: WIDTH, y1: HEIGHT, y2: HEIGHT, class: "base" });
    const busiest = hours.indexOf(Math.max(...hours));
    const label = t("{name}: {n} events, most from {from}:00 to {to}:00", { name: words(name), n: total, from: busiest, to: busiest + 1 });
    const pressed = this.chosen === name;
    const button = el(
      "button",
      { type: "button", class: "quiet", "data-class": name, "aria-pressed": pressed ? "true" : "false", onclick: () => this.choose(pressed ? "" : name) },
      words(name),
    );
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + 1}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...bars, base);
    return el("li", {}, button, picture, el("span", { class: "total" }, total.toLocaleString(locale)));
  }
}

// Labels of the hours above each column of rows.
function axis() {
  const marks = [0, 6, 12, 18, 24].map((hour) => el("span", {}, String(hour).padStart(2, "0")));
  return el("li", { class: "axis", "aria-hidden": "true" }, el("span", {}), el("div", {}, ...marks), el("span", {}));
}
