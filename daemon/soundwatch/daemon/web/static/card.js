// Renders a model card's Markdown: headings, paragraphs, lists, tables. Other Markdown is shown as text.

import { el } from "./dom.js";
import { t } from "./language.js";

const plain = (text) => text.replaceAll("`", "").trim();
const cells = (line) => line.split("|").slice(1, -1).map(plain);

export function card(text) {
  const blocks = text.split(/\n{2,}/).map((block) => block.trim()).filter(Boolean);
  return el("div", { class: "card-text" }, ...blocks.map(block));
}

function block(text) {
  const lines = text.split("\n");
  const heading = /^(#+) (.*)/.exec(text);
  if (heading) return el(heading[1].length === 1 ? "h3" : "h4", {}, plain(heading[2]));
  if (lines.every((line) => line.startsWith("|"))) return tableOf(lines);
  if (lines.every((line) => line.startsWith("- "))) return el("ul", {}, ...lines.map((line) => el("li", {}, plain(line.slice(2)))));
  return el("p", {}, plain(text));
}

function tableOf(lines) {
  const [head, , ...rows] = lines;
  const row = (name, line) => el("tr", {}, ...cells(line).map((text) => el(name, name === "th" ? { scope: "col" } : {}, text)));
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": t("Table: {columns}", { columns: cells(head).join(", ") }) },
    el("table", {}, el("thead", {}, row("th", head)), el("tbody", {}, ...rows.map((line) => row("td", line)))),
  );
}
