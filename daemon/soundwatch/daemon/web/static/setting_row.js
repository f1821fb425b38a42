// One key of the configuration: its text, its default, and an input that fits its type.

import { el, setText } from "./dom.js";
import { language, settingText, t } from "./language.js";
import { keyTitle } from "./titles.js";

let count = 0;

const shown = ({ kind }, value) => {
  if (value === null || value === undefined) return "";
  if (kind === "list") return value.join(", ");
  if (typeof value === "string") return value;
  return JSON.stringify(value);
};

// The value that the text of an input stands for.
function parsed({ kind, nullable, choices }, text) {
  if (text === "" && nullable) return null;
  if (kind === "boolean") return text === "true";
  if (kind === "choice") return choices.find((choice) => String(choice) === text);
  if (kind === "integer" || kind === "number") return text.trim() === "" || Number.isNaN(Number(text)) ? text : Number(text);
  if (kind === "list") return text.split(",").map((part) => part.trim()).filter(Boolean);
  if (kind === "text") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function control(key, id) {
  const options = { id, "aria-describedby": `${id}-text ${id}-error`, disabled: !key.editable };
  if (key.kind !== "boolean" && key.kind !== "choice") {
    const number = key.kind === "integer" || key.kind === "number";
    return el("input", { ...options, type: "text", inputmode: number ? "decimal" : null, value: shown(key, key.value), autocomplete: "off", spellcheck: "false", placeholder: key.nullable ? t("not set") : null });
  }
  const values = key.kind === "boolean" ? [["true", t("yes")], ["false", t("no")]] : key.choices.map((choice) => [String(choice), String(choice)]);
  if (key.nullable) values.unshift(["", t("not set")]);
  const present = shown(key, key.value);
  return el("select", options, ...values.map(([value, text]) => el("option", { value, selected: value === present }, text)));
}

// Text of the reference, whose code is in backquotes.
const marked = (text) => text.split("`").map((part, place) => (place % 2 ? el("code", {}, part) : part));

// Calls `changed` with the key, and with its new value, or with nothing for the default.
export function settingRow(key, changed) {
  const id = `setting-${(count += 1)}`;
  const input = control(key, id);
  const error = el("p", { class: "refused", id: `${id}-error`, role: "alert" });
  const reset = el("button", { type: "button", class: "quiet", hidden: key.origin === "default" || !key.editable, "aria-label": t("Use the default: {key}", { key: key.key }) }, t("Use the default"));
  const origin = key.editable ? (key.origin === "file" ? t("in the file") : t("default")) : t("only in the file");
  const title = keyTitle(key.key);
  const text = settingText(key.text);
  const values = (settingText(key.values) ?? key.values).replaceAll("`", "");
  const facts = t("Values: {values}. Default: {value}.", { values, value: shown(key, key.default) || t("none") });
  const element = el(
    "div",
    { class: "setting" },
    el("div", { class: "setting-head" }, el("label", { for: id }, title ? el("strong", {}, `${title} `) : "", el("code", {}, key.key)), el("span", { class: "muted" }, origin)),
    el("div", { class: "setting-value" }, input, reset),
    error,
    el("p", { class: "muted", id: `${id}-text` }, el("span", { lang: text === undefined ? "en" : language }, ...marked(text ?? key.text)), " ", facts),
  );
  const refuse = (text) => {
    setText(error, text);
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  input.addEventListener("change", () => changed(key, parsed(key, input.value)));
  reset.addEventListener("click", () => {
    input.value = shown(key, key.default);
    reset.hidden = true;
    input.focus();
    changed(key);
  });
  return { element, refuse };
}
