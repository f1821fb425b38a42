// The editor of the configuration file: each key with its text, a check of each value when it is entered, the lines that
// differ before they are written, and the outcome of the reload.

import { changeSettings, settingsKeys } from "./config.js";
import { byId, el, setText } from "./dom.js";
import { settingText, t } from "./language.js";
import { Part } from "./part.js";
import { groupTitle, keyTitle } from "./titles.js";
import { settingRow } from "./setting_row.js";

const MOST_FOUND = 30;
const NAMED = ["sources", "schedules", "rules"]; // groups of keys with a name of their own

const groupOf = (key) => {
  const parts = key.split(".");
  if (NAMED.includes(parts[0])) return key.split(/\.(?=(?:[^"]*"[^"]*")*[^"]*$)/).slice(0, 2).join(".");
  return parts[1] === "classes" ? "detection.classes" : parts[0];
};

export class SettingsEditor {
  // Calls `saved` after each change that was written.
  constructor(saved) {
    this.saved = saved;
    this.changes = new Map();
    this.outcome = el("div", { class: "review", tabindex: -1 }); // of the last change, also where the settings are not loaded after it
    this.loads = 0;
    this.part = new Part("editor-body", (current) => this.show(current), (reason) => t("The settings cannot be shown: {reason}", { reason }), {
      subject: () => this.loads,
      clear: () => byId("editor-body").replaceChildren(this.part.placeholder),
    });
    const box = byId("editor");
    box.append(this.outcome);
    box.addEventListener("toggle", () => box.open && !this.changes.size && this.load());
  }

  load() {
    this.loads += 1; // a form of the former file is never shown
    this.changes = new Map();
    this.outcome.replaceChildren();
    return this.part.load();
  }

  async show(current) {
    const file = await settingsKeys();
    if (!current()) return;
    this.file = file;
    const { problem, path, keys } = this.file;
    if (problem) for (const key of keys) key.editable = false;
    this.rows = new Map();
    this.find = el("input", { type: "search", maxlength: 100, autocomplete: "off", oninput: () => this.search() });
    this.found = el("div", { class: "settings-found" });
    const groups = new Map();
    for (const key of keys) groups.set(groupOf(key.key), [...(groups.get(groupOf(key.key)) ?? []), key]);
    this.groups = el("div", {}, ...[...groups].map(([name, group]) => this.group(name, group)));
    this.count = el("p", { role: "status" });
    this.check = el("button", { type: "button", onclick: () => this.preview() }, t("Show the difference"));
    this.review = el("div", { class: "review" });
    this.bar = el("div", { class: "changes", hidden: true }, this.count, this.check, el("button", { type: "button", class: "quiet", onclick: () => this.load() }, t("Discard")));
    byId("editor-body").replaceChildren(
      problem ? el("p", { class: "muted note" }, problem) : el("p", { class: "muted note" }, t("Changes are written to {path}; comments stay.", { path })),
      el("label", {}, el("span", {}, t("Find a setting")), this.find),
      this.found,
      this.groups,
      this.bar,
      this.review,
    );
  }

  group(name, keys) {
    const changed = keys.filter((key) => key.origin === "file").length;
    const summary = el("summary", {}, `${groupTitle(name)} `, el("code", {}, name), changed ? ` ${t("{n} in the file", { n: changed })}` : "");
    const details = el("details", { class: "settings-group" }, summary);
    details.addEventListener("toggle", () => {
      if (details.open) details.append(...keys.map((key) => this.row(key)));
    });
    return details;
  }

  row(key) {
    if (!this.rows.has(key.key)) this.rows.set(key.key, settingRow(key, (which, value) => this.change(which, value)));
    return this.rows.get(key.key).element;
  }

  // A row is in one place: among the found ones, or in its group when that is opened.
  search() {
    const text = this.find.value.trim().toLowerCase();
    this.groups.hidden = text !== "";
    const keys = text ? this.file.keys.filter((key) => [key.key, keyTitle(key.key), key.text, settingText(key.text)].join(" ").toLowerCase().includes(text)).slice(0, MOST_FOUND) : [];
    this.found.replaceChildren(...keys.map((key) => this.row(key)));
    if (text && !keys.length) this.found.append(el("p", { class: "empty" }, t("No setting matches.")));
    if (!text) for (const details of this.groups.children) if (details.open) details.open = false;
  }

  async change(key, value) {
    this.review.replaceChildren();
    this.outcome.replaceChildren();
    this.changes.set(key.key, value);
    this.bar.hidden = false;
    setText(this.count, t("{n} changes", { n: this.changes.size }));
    const { refuse } = this.rows.get(key.key);
    try {
      await changeSettings(value === undefined ? {} : { [key.key]: value }, { remove: value === undefined ? [key.key] : [], dryRun: true, tag: this.file.tag });
      refuse("");
    } catch (error) {
      refuse(error.message);
    }
  }

  send(dryRun) {
    const set = [...this.changes].filter(([, value]) => value !== undefined);
    const remove = [...this.changes].filter(([, value]) => value === undefined).map(([key]) => key);
    return changeSettings(Object.fromEntries(set), { remove, dryRun, tag: this.file.tag });
  }

  async preview() {
    try {
      const { lines, restart } = await this.send(true);
      const save = el("button", { type: "button", onclick: () => this.save() }, t("Save"));
      this.review.replaceChildren(
        lines.length ? difference(lines) : el("p", { class: "muted" }, t("The file has these values already.")),
        restart.length ? el("p", {}, t("In force only after a restart: {keys}.", { keys: restart.join(", ") })) : "",
        save,
      );
      save.focus();
    } catch (error) {
      this.review.replaceChildren(el("p", { class: "refused", role: "alert" }, error.message));
    }
  }

  async save() {
    let text = "";
    try {
      const done = await this.send(false);
      text = done.state === "restart" ? t("Saved. Restart soundwatch for: {keys}.", { keys: done.restart.join(", ") }) : t("Saved and in force.");
      await this.load();
      await this.saved();
      this.outcome.replaceChildren(el("p", { class: "good", role: "status" }, text));
      this.outcome.focus({ preventScroll: true }); // the button that had the focus is gone
    } catch (error) {
      this.review.replaceChildren(el("p", { class: "refused", role: "alert" }, error.message));
    }
  }
}

// The lines that a change deletes and adds.
export function difference(lines) {
  return el("ol", { class: "diff", "aria-label": t("Lines that differ") }, ...lines.map((line) => el("li", { class: line.kind }, el("code", {}, `${line.kind === "added" ? "+" : "−"} ${line.text}`))));
}
