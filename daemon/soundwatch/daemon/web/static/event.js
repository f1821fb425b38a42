// One event of the list: a line of it, and when opened all that is known, its sound, and what a person says of it.

import { Clip } from "./clip.js";
import { el, setText } from "./dom.js";
import { level, score, span, time, words } from "./format.js";
import { ask } from "./net.js";

const REASONS = {
  decay: "it faded",
  max_duration: "it went on for too long",
  end_of_stream: "the recording ended",
  shutdown: "the program stopped",
  source_lost: "the source was lost",
  paused: "the source was paused",
  interrupted: "the program was killed",
};

export function makeEvent(classes, changed) {
  const parts = {
    time: el("time", {}),
    name: el("span", {}),
    note: el("span", { class: "with-sound", title: "With its sound" }),
    bar: el("span", { class: "meter", "aria-hidden": "true" }),
    score: el("span", { class: "value" }),
    span: el("span", { class: "span" }),
    source: el("span", { class: "from muted" }),
    mark: el("span", { class: "mark" }),
  };
  const body = el("div", { class: "event-body" });
  const { time: began, name, note, ...rest } = parts;
  const summary = el("summary", {}, began, el("span", { class: "class" }, name, note), ...Object.values(rest));
  const details = el("details", {}, summary, body);
  const item = el("li", {}, details);
  item.parts = parts;
  item.changed = changed;
  item.classes = classes;
  details.addEventListener("toggle", () => (details.open ? open(item, body) : shut(item, body)));
  return item;
}

export function updateEvent(item, event) {
  item.event = event;
  const { parts } = item;
  setText(parts.time, time(event.onset));
  parts.time.setAttribute("datetime", event.onset);
  setText(parts.name, words(event.class));
  parts.bar.style.setProperty("--value", event.peak_score);
  setText(parts.score, score(event.peak_score));
  setText(parts.span, event.active ? "now" : span(event.duration_s));
  parts.span.classList.toggle("active", event.active);
  setText(parts.source, event.source);
  setText(parts.mark, event.label ? (event.label.right ? "✓ right" : `✗ ${event.label.class ? words(event.label.class) : "none"}`) : "");
  setText(parts.note, event.clip?.url ? "♪" : "");
  parts.mark.title = "What you said it was";
  if (item.facts) {
    facts(item);
    verdict(item);
    sound(item);
  }
}

function open(item, body) {
  item.facts = el("dl", { class: "facts" });
  item.verdict = el("div", { class: "verdict" });
  item.sound = el("div", { class: "sound" });
  item.clip = null;
  body.replaceChildren(item.sound, item.facts, item.verdict);
  updateEvent(item, item.event);
}

function shut(item, body) {
  item.clip?.stop();
  item.facts = item.clip = null;
  body.replaceChildren();
}

function facts(item) {
  const { event } = item;
  const end = event.active ? "it lasts" : `${time(event.offset)}, ${REASONS[event.reason] ?? event.reason}`;
  const pairs = [
    ["Began", time(event.onset)],
    ["Ended", end],
    ["Highest score", score(event.peak_score)],
    ["Level", level(event.level_dbfs)],
    ["Source", event.source],
  ];
  const made = el("code", {}, `${event.id} by ${event.model}`);
  item.facts.replaceChildren(
    ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
    el("div", { class: "wide" }, el("dt", {}, "Id and model"), el("dd", {}, made)),
  );
}

function sound(item) {
  const { event } = item;
  if (event.clip?.url && !item.clip) {
    item.clip = new Clip(event.clip);
    item.sound.replaceChildren(item.clip.element);
  } else if (event.clip && !event.clip.url) {
    item.sound.replaceChildren(el("p", { class: "muted" }, `Its sound was not kept: ${words(event.clip.reason ?? "")}.`));
  }
}

function verdict(item) {
  const { event } = item;
  if (item.verdict.contains(document.activeElement) && item.said === JSON.stringify(event.label)) return;
  item.said = JSON.stringify(event.label);
  const refused = el("p", { class: "refused", role: "alert" });
  const say = async (method, body) => {
    try {
      item.changed(await ask(`/api/events/${event.id}/label`, { method, body }));
      item.verdict.querySelector("button")?.focus();
    } catch (error) {
      setText(refused, `That was not kept: ${error.message}`);
    }
  };
  if (event.label) {
    const said = event.label.right ? "that it was right" : `that it was ${event.label.class ? words(event.label.class) : "none of the classes"}`;
    item.verdict.replaceChildren(
      el("p", {}, `You said ${said}.`),
      el("button", { type: "button", class: "quiet", onclick: () => say("DELETE") }, "Take it back"),
      refused,
    );
    return;
  }
  const others = item.classes().filter((each) => each.name !== event.class);
  const choice = el(
    "select",
    { "aria-label": "Wrong, it was", onchange: () => choice.value && say("POST", { right: false, class: choice.value === "-" ? null : choice.value }) },
    el("option", { value: "" }, "Wrong, it was…"),
    ...others.map((each) => el("option", { value: each.name }, words(each.name))),
    el("option", { value: "-" }, "none of these"),
  );
  item.verdict.replaceChildren(
    el("button", { type: "button", onclick: () => say("POST", { right: true }) }, "Right"),
    choice,
    refused,
  );
}
