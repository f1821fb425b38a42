// Review of a day's events from the keyboard, the question before a class is ignored, and the deletion of events.

import { ask as question } from "./dialog.js";
import { byId, el, setText } from "./dom.js";
import { many, words } from "./format.js";
import { ask } from "./net.js";

const BATCH = 100; // events of one request to delete
const NEXT = ["j", "ArrowDown"];
const PREVIOUS = ["k", "ArrowUp"];

export class Review {
  constructor(today) {
    this.today = today;
    document.addEventListener("keydown", (event) => this.key(event));
    byId("delete").addEventListener("click", () => this.askDeletion());
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
    if (arrow && !inList) return; // arrows scroll the page
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
      setText(byId("announce"), `${words(event.class)}: ${body.right ? "correct" : "wrong"}`);
    } catch (error) {
      question("The label was not saved", [el("p", {}, error.message)]);
      return;
    }
    if (row.contains(document.activeElement)) this.move(1);
  }

  askDeletion() {
    const events = [...this.today.events.values()].filter((event) => !event.active);
    const clips = events.filter((event) => event.clip?.url).length;
    if (!events.length) {
      question("Delete events", [el("p", {}, "The list has no event that has ended.")]);
      return;
    }
    const text = `${many(events.length, "event")} of this list, with ${many(clips, "clip")} and the labels. This cannot be undone. Outputs keep what they have received.`;
    question("Delete events", [el("p", {}, text)], `Delete ${many(events.length, "event")}`, async () => {
      const ids = events.map((event) => event.id);
      let deleted = 0;
      for (let first = 0; first < ids.length; first += BATCH) {
        const done = await ask("api/events/delete", { method: "POST", body: { ids: ids.slice(first, first + BATCH) } });
        deleted += done.events;
      }
      await this.today.reload();
      return `${many(deleted, "event")} deleted. The journal has a line that says so.`;
    });
  }
}

const quoted = (name) => (name.includes(".") ? `"${name}"` : name);

// Shows the lines that would change in the configuration file, and writes them once they are confirmed.
export async function askToIgnore(event) {
  const title = `Ignore ${words(event.class)} at ${event.source}`;
  const about = el("p", {}, `Events of ${words(event.class)} would no longer be detected at ${event.source}. The journal keeps those so far.`);
  const key = ["sources", event.source, "detection", "classes", event.class, "enabled"].map(quoted).join(".");
  const change = (tag, dryRun) =>
    ask("api/settings", { method: "PUT", headers: { "If-Match": tag }, body: { changes: { [key]: false }, dry_run: dryRun } });
  try {
    const { path, tag, problem } = await ask("api/settings/keys");
    if (problem) throw new Error(problem);
    const checked = await change(tag, true);
    if (checked.state === "unchanged") {
      question(title, [el("p", {}, "The configuration file has this setting already.")]);
      return;
    }
    const lines = checked.lines.map((line) => `${line.kind === "added" ? "+" : "−"} ${line.text}`);
    question(title, [about, el("p", { class: "muted" }, `The change of ${path}:`), code(lines)], "Write and reload", async () => {
      const done = await change(tag, false);
      return done.restart.length ? `Written. It takes effect after a restart: ${done.restart.join(", ")}.` : "Written and reloaded.";
    });
  } catch (error) {
    const names = ["sources", event.source, "detection", "classes", event.class];
    const lines = names.map((name, depth) => `${"  ".repeat(depth)}${JSON.stringify(name).slice(1, -1) === name && /^[a-z][\w-]*$/i.test(name) ? name : JSON.stringify(name)}:`);
    const copy = [...lines, `${"  ".repeat(names.length)}enabled: false`];
    question(title, [about, el("p", {}, `This page cannot write the setting: ${error.message}`), el("p", { class: "muted" }, "The lines for the configuration file:"), code(copy)]);
  }
}

const code = (lines) => el("pre", { class: "code", tabindex: 0 }, lines.join("\n"));
