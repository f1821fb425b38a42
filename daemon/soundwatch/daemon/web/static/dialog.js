// A question in a dialog of the browser: it keeps the focus, and Escape cancels.

import { el, setText } from "./dom.js";
import { t } from "./language.js";

// Shows a question. `act` runs when the button is pressed; its text then stands in the dialog until it is closed.
export function ask(title, parts, button, act) {
  const said = el("p", { role: "alert" });
  const dialog = el("dialog", { class: "dialog", "aria-label": title }, el("h3", {}, title), ...parts, said);
  const cancel = el("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, act ? t("Cancel") : t("Close"));
  const yes = el("button", { type: "button", class: "strong" }, button ?? "");
  yes.addEventListener("click", async () => {
    yes.disabled = true;
    try {
      setText(said, await act());
      yes.hidden = true;
      setText(cancel, t("Close"));
      cancel.focus();
    } catch (error) {
      yes.disabled = false;
      setText(said, error.message);
    }
  });
  dialog.append(el("p", { class: "buttons" }, act ? yes : null, cancel));
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    before?.focus?.();
  });
  document.body.append(dialog);
  dialog.showModal();
}
