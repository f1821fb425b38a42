// One event of the list: a summary and, when opened, its details, its sound and its label.

import { Clip } from "./clip.js";
import { el, setText } from "./dom.js";
import { highest, level, score, span, time, weighted } from "./format.js";
import { t, words } from "./language.js";
import { ask } from "./net.js";
import { askToIgnore } from "./review.js";

const REASONS = {
  decay: t("the score decayed"),
  max_duration: t("the longest duration was reached"),
  end_of_stream: t("the recording ended"),
  shutdown: t("the program stopped"),
  source_lost: t("the source was lost"),
  paused: t("the source was paused"),
  interrupted: t("the program was killed"),
};

export function makeEvent(classes, changed) {
  const parts = {
    time: el("time", {}),
    name: el("span", {}),
    note: el("span", { class: "with-sound", title: t("Has a clip") }),
    bar: el("span", { class: "meter", "aria-hidden": "true" }),
    score: el("span", { class: "value" }),
    span: el("span", { class: "span" }),
    source: el("span", { class: "from muted" }),
    mark: el("span", { class: "mark" }),
  };
  const body = el("div", { class: "event-body" });
  const { time: onset, name, note, ...rest } = parts;
  const summary = el("summary", {}, onset, el("span", { class: "class" }, name, note), ...Object.values(rest));
  const details = el("details", {}, summary, body);
  const item = el("li", {}, details);
  item.parts = parts;
  item.changed = changed;
  item.classes = classes;
  details.addEventListener("toggle", () => (details.open ? open(item, body) : close(item, body)));
  return item;
}

export function updateEvent(item, event) {
  item.event = event;
  const { parts } = item;
  setText(parts.time, time(event.onset));
  parts.time.setAttribute("datetime", event.onset);
  setText(parts.name, event.experimental ? t("{class} (experimental)", { class: words(event.class) }) : words(event.class));
  parts.bar.style.setProperty("--value", event.peak_score);
  setText(parts.score, score(event.peak_score));
  setText(parts.span, event.active ? t("now") : span(event.duration_s));
  parts.span.classList.toggle("active", event.active);
  setText(parts.source, event.source);
  setText(parts.mark, event.label ? (event.label.right ? `✓ ${t("correct")}` : `✗ ${event.label.class ? words(event.label.class) : t("none")}`) : "");
  setText(parts.note, event.clip?.url ? "♪" : "");
  parts.mark.title = t("Your label");
  if (item.facts) {
    facts(item);
    labelForm(item);
    sound(item);
  }
}

function open(item, body) {
  item.facts = el("dl", { class: "facts" });
  item.labelForm = el("div", { class: "verdict" });
  item.sound = el("div", { class: "sound" });
  item.clip = null;
  body.replaceChildren(item.sound, item.facts, item.labelForm);
  updateEvent(item, item.event);
}

function close(item, body) {
  item.clip?.stop();
  item.facts = item.clip = null;
  body.replaceChildren();
}

function facts(item) {
  const { event } = item;
  const end = event.active ? t("active") : `${time(event.offset)}, ${REASONS[event.reason] ?? event.reason}`;
  const pairs = [
    [t("Start"), time(event.onset)],
    [t("End"), end],
    [t("Peak score"), score(event.peak_score)],
    [t("Level"), level(event.level_dbfs)],
    [t("Highest level"), highestLevel(event)],
    [t("Source"), event.source],
    ...(event.also ? [[t("Also"), highest(event.also)]] : []),
  ];
  const origin = el("code", {}, t("{id} by {model}", { id: event.id, model: event.model }));
  item.facts.replaceChildren(
    ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
    el("div", { class: "wide" }, el("dt", {}, t("Id and model")), el("dd", {}, origin)),
  );
}

// The highest level of the sound level meter, where it is on, and that of the event's windows.
function highestLevel(event) {
  const windows = level(event.peak_level_dbfs);
  if (event.peak_level_dba === undefined) return windows;
  return t("{weighted}; {level} without weighting", { weighted: level(event.peak_level_dba, weighted(event.calibrated)), level: windows });
}

function sound(item) {
  const { event } = item;
  if (event.clip?.url && !item.clip) {
    item.clip = new Clip(event.clip);
    item.sound.replaceChildren(item.clip.element);
  } else if (event.clip && !event.clip.url) {
    item.sound.replaceChildren(el("p", { class: "muted" }, t("No clip was saved: {reason}.", { reason: words(event.clip.reason ?? "") })));
  }
}

function labelForm(item) {
  const { event } = item;
  if (item.labelForm.contains(document.activeElement) && item.shownLabel === JSON.stringify(event.label)) return;
  item.shownLabel = JSON.stringify(event.label);
  const refused = el("p", { class: "refused", role: "alert" });
  const send = async (method, body) => {
    try {
      item.changed(await ask(`api/events/${event.id}/label`, { method, body }));
      item.labelForm.querySelector("button")?.focus();
    } catch (error) {
      setText(refused, t("The label was not saved: {reason}", { reason: error.message }));
    }
  };
  if (event.label) {
    const label = event.label.right ? t("correct") : event.label.class ? words(event.label.class) : t("none of the classes");
    item.labelForm.replaceChildren(
      el("p", {}, t("Your label: {label}.", { label })),
      el("button", { type: "button", class: "quiet", onclick: () => send("DELETE") }, t("Delete label")),
      refused,
    );
    return;
  }
  const others = item.classes().filter((class_) => class_.name !== event.class);
  const choice = el(
    "select",
    { "aria-label": t("Correct class"), onchange: () => choice.value && send("POST", { right: false, class: choice.value === "-" ? null : choice.value }) },
    el("option", { value: "" }, t("Wrong: choose the class…")),
    ...others.map((class_) => el("option", { value: class_.name }, words(class_.name))),
    el("option", { value: "-" }, t("none of the classes")),
  );
  item.labelForm.replaceChildren(
    el("button", { type: "button", onclick: () => send("POST", { right: true }) }, t("Correct")),
    choice,
    el("button", { type: "button", class: "quiet", onclick: () => askToIgnore(event) }, t("Ignore {class} here…", { class: words(event.class) })),
    refused,
  );
}
