// Review of a day's events from the keyboard, the question before a class is ignored, and the deletion of events.

import { ask as question } from "./dialog.js";
import { byId, el, setText } from "./dom.js";
import { t, words } from "./language.js";
import { ask } from "./net.js";

const BATCH = 100; // events of one request to delete
const NEXT = ["j", "ArrowDown"];
const PREVIOUS = ["k", "ArrowUp"];
const STORE = "keys";

const storedOff = () => {
  try {
    return localStorage.getItem(STORE) === "off";
  } catch {
    return false; // storage is disabled
  }
};

export class Review {
  constructor(today) {
    this.today = today;
    document.addEventListener("keydown", (event) => this.key(event));
    byId("delete").addEventListener("click", () => this.askDeletion());
    this.off = storedOff(); // for speech input, which types letters
    this.toggle = el("button", { type: "button", class: "quiet", onclick: () => this.switch() });
    this.showKeys();
  }

  switch() {
    this.off = !this.off;
    try {
      localStorage.setItem(STORE, this.off ? "off" : "on");
    } catch {
      // storage is disabled: the choice lasts for this visit
    }
    this.showKeys();
    this.toggle.focus();
  }

  showKeys() {
    setText(this.toggle, this.off ? t("Keys: off") : t("Keys: on"));
    const keys = [
      key(["J", "K"], t("next and previous event")),
      key(["Enter"], t("open")),
      key(["R"], t("correct")),
      key(["W"], t("none of the classes")),
      key(["I"], t("ignore this class here")),
    ];
    byId("keys").replaceChildren(this.toggle, ...(this.off ? [] : keys));
  }

  // Deletion needs a login.
  begin(loggedIn) {
    byId("delete").hidden = !loggedIn;
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input, select, textarea, audio, .scroll")) return;
    const inList = byId("events").contains(event.target);
    const arrow = event.key.startsWith("Arrow");
    if (arrow ? !inList : this.off) return; // arrows scroll the page
    if (NEXT.includes(event.key)) this.move(1);
    else if (PREVIOUS.includes(event.key)) this.move(-1);
    else if (inList && event.key === "r") this.label({ right: true });
    else if (inList && event.key === "w") this.label({ right: false, class: null });
    else if (inList && event.key === "i") askToIgnore(this.current.event);
    else return;
    event.preventDefault();
  }

  get current() {
    return document.activeElement.closest("#events > li");
  }

  move(step) {
    const rows = [...byId("events").children];
    const at = rows.indexOf(this.current);
    const row = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + step))];
    row?.querySelector("summary").focus();
  }

  // Labels the event, and goes to the next one.
  async label(body) {
    const row = this.current;
    const { event } = row;
    try {
      row.changed(await ask(`api/events/${event.id}/label`, { method: "POST", body }));
      setText(byId("announce"), `${words(event.class)}: ${body.right ? t("correct") : t("none of the classes")}`);
    } catch (error) {
      question(t("Label"), [el("p", {}, t("The label was not saved: {reason}", { reason: error.message }))]);
      return;
    }
    if (row.contains(document.activeElement)) this.move(1);
  }

  askDeletion() {
    const events = [...this.today.events.values()].filter((event) => !event.active);
    const clips = events.filter((event) => event.clip?.url).length;
    if (!events.length) {
      question(t("Delete events"), [el("p", {}, t("The list has no event that has ended."))]);
      return;
    }
    const text = t("This deletes {n} events of this list, {clips} of them with a clip, and their labels. It cannot be undone. Outputs keep what they have received.", { n: events.length, clips });
    question(t("Delete events"), [el("p", {}, text)], t("Delete {n} events", { n: events.length }), async () => {
      const ids = events.map((event) => event.id);
      let deleted = 0;
      for (let first = 0; first < ids.length; first += BATCH) {
        const done = await ask("api/deletions", { method: "POST", body: { ids: ids.slice(first, first + BATCH) } });
        deleted += done.events;
      }
      await this.today.reload();
      return t("{n} events were deleted. The journal has a line about it.", { n: deleted });
    });
  }
}

const key = (names, text) => el("span", {}, ...names.map((name) => el("kbd", {}, name)), ` ${text}`);
const quoted = (name) => (name.includes(".") ? `"${name}"` : name);

// Shows the lines that would change in the configuration file, and writes them once they are confirmed.
export async function askToIgnore(event) {
  const title = t("Ignore {class} at {source}", { class: words(event.class), source: event.source });
  const about = el("p", {}, t("This class will give no more events at this source. The journal keeps those so far."));
  const key = ["sources", event.source, "detection", "classes", event.class, "enabled"].map(quoted).join(".");
  const change = (tag, dryRun) =>
    ask("api/settings", { method: "PUT", headers: { "If-Match": tag }, body: { changes: { [key]: false }, dry_run: dryRun } });
  try {
    const { path, tag, problem, keys } = await ask("api/settings/keys");
    const device = ["sources", event.source, "device"].map(quoted).join(".");
    if (!keys.some((one) => one.key === device)) {
      question(title, [el("p", {}, t("This source is not in the configuration file, so it has no settings there."))]);
      return;
    }
    if (problem) throw new Error(problem);
    const checked = await change(tag, true);
    if (checked.state === "unchanged") {
      question(title, [el("p", {}, t("The configuration file has this setting already."))]);
      return;
    }
    const lines = checked.lines.map((line) => `${line.kind === "added" ? "+" : "−"} ${line.text}`);
    question(title, [about, el("p", { class: "muted" }, t("The change of {file}:", { file: path })), code(lines)], t("Write and reload"), async () => {
      const done = await change(tag, false);
      return done.restart.length ? t("The change is written and takes effect after a restart.") : t("The change is written and in force.");
    });
  } catch (error) {
    const names = ["sources", event.source, "detection", "classes", event.class];
    const lines = names.map((name, depth) => `${"  ".repeat(depth)}${JSON.stringify(name).slice(1, -1) === name && /^[a-z][\w-]*$/i.test(name) ? name : JSON.stringify(name)}:`);
    const copy = [...lines, `${"  ".repeat(names.length)}enabled: false`];
    question(title, [about, el("p", {}, t("This page cannot write the setting: {reason}", { reason: error.message })), el("p", { class: "muted" }, t("The lines for the configuration file:")), code(copy)]);
  }
}

const code = (lines) => el("pre", { class: "code", tabindex: 0 }, lines.join("\n"));
