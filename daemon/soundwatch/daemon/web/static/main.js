// The page: loads the current state, follows the stream, and shows connection errors.

import { bandsHz } from "./bands.js";
import { compareClocks, present } from "./clock.js";
import { byId, el, setText } from "./dom.js";
import { SettingsEditor } from "./editor.js";
import { showHealth, showModel } from "./health.js";
import { install } from "./install.js";
import { choose, language, NAMES, t } from "./language.js";
import { ask } from "./net.js";
import { Now } from "./now.js";
import { Part } from "./part.js";
import { Review } from "./review.js";
import { showRules } from "./rules.js";
import { showSettings } from "./settings.js";
import { Statistics } from "./statistics.js";
import { Stream } from "./stream.js";
import { Today } from "./today.js";
import { VERSION } from "./version.js";

const REFRESH_MS = 15000;
const SOON_MS = 200;
const HIDDEN_MS = 10000;

const now = new Now();
const today = new Today();
const statistics = new Statistics();
new SettingsEditor(() => refresh());
const review = new Review(today);
let boot = null;
let drawn = null; // the boot that the panels are of
let constant = null; // the request for what does not change while the program runs
let soon = null;

function constants() {
  if (constant === null) {
    constant = Promise.all([ask("api/classes"), ask("api/model")]);
    constant.catch(() => (constant = null));
  }
  return constant;
}

const model = new Part(
  "model",
  async (current) => {
    const [{ classes }, model] = await constants();
    if (!current()) return;
    today.begin(classes);
    showModel(model);
  },
  (reason) => t("The model cannot be shown: {reason}", { reason }),
);

const sources = new Part(
  "sources",
  async (current) => {
    const [[{ classes }, model], { sources }] = await Promise.all([constants(), ask("api/sources")]);
    if (!current()) return;
    const first = drawn !== boot;
    if (first) now.begin(classes, bandsHz(model.contract.features));
    drawn = boot;
    now.show(sources);
    today.sources(sources.map((source) => source.name));
    if (first) recent();
  },
  (reason) => t("The sources cannot be shown: {reason}", { reason }),
);

// The events of the last minute, for the pictures. Where the request fails, the list of events shows the reason.
async function recent() {
  const page = await ask("api/events", { query: { limit: 20, since: new Date(present() - 120000).toISOString() } }).catch(() => ({ events: [] }));
  for (const event of page.events) now.take(event);
}

const health = new Part(
  "health",
  async (current) => {
    const [health, { sources }, { sinks }] = await Promise.all(["health", "sources", "sinks"].map((name) => ask(`api/${name}`)));
    if (!current()) return;
    if (compareClocks(health)) {
      today.rollOver();
      today.reload();
      recent();
    }
    showHealth(health, sources, sinks);
    byId("updated").hidden = health.version === VERSION;
    setText(byId("node"), health.node);
    byId("logout").hidden = !health.token_wanted;
    review.begin(health.token_wanted);
    document.title = t("soundwatch on {node}", { node: health.node });
    const running = sources.some((source) => source.state === "running");
    const poor = health.state === "poor";
    status(poor ? "poor" : running ? "open" : "idle", poor ? t("{n} problems", { n: health.problems.length }) : running ? t("Running") : t("No source is running"));
  },
  (reason) => {
    status("poor", t("{n} problems", { n: 1 }));
    return t("The health cannot be shown: {reason}", { reason });
  },
);

const rules = new Part(
  "rules",
  async (current) => {
    const { rules } = await ask("api/rules");
    if (current()) showRules(rules);
  },
  (reason) => t("The rules cannot be shown: {reason}", { reason }),
);

const settings = new Part(
  "settings",
  async (current) => {
    const settings = await ask("api/settings");
    if (current()) showSettings(settings);
  },
  (reason) => t("The settings cannot be shown: {reason}", { reason }),
);

const refresh = () => Promise.all([sources, health, rules, settings].map((part) => part.load()));

function refreshSoon() {
  clearTimeout(soon);
  soon = setTimeout(refresh, SOON_MS);
}

document.addEventListener("listening", refreshSoon);

function welcome(message) {
  const continued = boot === message.boot && message.known; // no line is missing
  if (boot !== message.boot) {
    now.hold();
    boot = message.boot;
    constant = null;
    model.load();
  }
  refresh();
  if (!continued) today.reload();
  statistics.reload();
}

function take(message) {
  switch (message.type) {
    case "welcome":
      welcome(message);
      break;
    case "scores":
    case "columns":
      now.take(message);
      break;
    case "level":
      if (message.seq === undefined) now.take(message);
      else today.levels.take(message);
      break;
    case "start":
    case "update":
    case "end":
      now.take(message);
      today.take(message);
      break;
    case "clip":
      today.take(message);
      break;
    case "lost":
      today.reload();
      break;
    case "poll":
      if (!document.hidden) sources.load();
      break;
    case "hello":
    case "health":
    case "gap":
    case "stats":
      refreshSoon();
      break;
    default: // heartbeats, and types of later releases
  }
}

function status(state, text) {
  byId("status").dataset.state = state;
  setText(byId("status"), text);
}

function connection(state, { polls = false, retryMs, reason }) {
  const banner = byId("banner");
  banner.hidden = state === "open";
  byId("polling").hidden = !polls;
  if (state === "open") return;
  status("closed", t("Not connected"));
  const broken = reason ? t("soundwatch cannot be reached ({reason}).", { reason }) : t("soundwatch cannot be reached.");
  const content = boot === null ? t("Nothing was loaded.") : t("The page shows an earlier state.");
  const again = retryMs > 1500 ? t("Reconnecting in {n} s…", { n: Math.round(retryMs / 1000) }) : t("Reconnecting…");
  setText(banner, `${broken} ${content} ${again}`);
}

function showTheme() {
  const names = { auto: t("Theme: auto"), light: t("Theme: light"), dark: t("Theme: dark") };
  const { theme } = document.documentElement.dataset;
  byId("theme").hidden = theme === undefined; // theme.js was not loaded
  setText(byId("theme"), names[theme] ?? "");
}

showTheme();
document.addEventListener("theme", showTheme);
byId("language").replaceChildren(...Object.entries(NAMES).map(([code, name]) => el("option", { value: code, lang: code, selected: code === language }, name)));
byId("language").addEventListener("change", (event) => choose(event.target.value));

install().catch(() => {}); // without storage, as in a private window, the page is an ordinary one
const stream = new Stream(take, connection);
window.addEventListener("online", () => stream.reopen());
setInterval(() => !document.hidden && byId("banner").hidden && refresh(), REFRESH_MS);

let hidden = null;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hidden);
  if (document.hidden) hidden = setTimeout(() => stream.show(false), HIDDEN_MS);
  else stream.show(true);
});

document.documentElement.dataset.begun = ""; // start.js shows no error from here on
