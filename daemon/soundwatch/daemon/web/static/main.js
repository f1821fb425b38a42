// The page: loads the current state, follows the stream, and shows connection errors.

import { bandsHz } from "./bands.js";
import { byId, el, setText } from "./dom.js";
import { SettingsEditor } from "./editor.js";
import { showHealth, showModel } from "./health.js";
import { install } from "./install.js";
import { choose, language, NAMES, t } from "./language.js";
import { ask, Stream } from "./net.js";
import { Now } from "./now.js";
import { Review } from "./review.js";
import { showRules } from "./rules.js";
import { showSettings } from "./settings.js";
import { Statistics } from "./statistics.js";
import { Today } from "./today.js";

const REFRESH_MS = 15000;
const SOON_MS = 200;
const HIDDEN_MS = 10000;

const now = new Now();
const today = new Today();
const statistics = new Statistics();
new SettingsEditor(refresh);
const review = new Review(today);
let boot = null;
let soon = null;

async function begin() {
  const [{ classes }, model] = await Promise.all([ask("api/classes"), ask("api/model")]);
  now.begin(classes, bandsHz(model.contract.features));
  today.begin(classes);
  showModel(model);
  await refresh();
  const events = await ask("api/events", { query: { limit: 20, since: new Date(Date.now() - 120000).toISOString() } });
  for (const event of events.events) now.take(event);
}

async function refresh() {
  const [health, { sources }, { sinks }, { rules }, settings] = await Promise.all(["health", "sources", "sinks", "rules", "settings"].map((name) => ask(`api/${name}`)));
  now.show(sources);
  today.sources(sources.map((source) => source.name));
  showHealth(health, sources, sinks);
  showRules(rules);
  showSettings(settings);
  setText(byId("node"), health.node);
  byId("logout").hidden = !health.token_wanted;
  review.begin(health.token_wanted);
  document.title = t("soundwatch on {node}", { node: health.node });
  const running = sources.filter((source) => source.state === "running").length;
  const poor = health.state === "poor";
  byId("status").dataset.state = poor ? "poor" : "open";
  setText(byId("status"), poor ? t("{n} problems", { n: health.problems.length }) : running ? t("Running") : t("No source is running"));
}

function refreshSoon() {
  clearTimeout(soon);
  soon = setTimeout(() => refresh().catch(fail), SOON_MS);
}

document.addEventListener("listening", refreshSoon);

function fail(error) {
  byId("banner").hidden = false;
  setText(byId("banner"), t("The page cannot be updated: {reason}", { reason: error.message }));
}

async function take(message) {
  switch (message.type) {
    case "welcome": {
      const sameRun = boot === message.boot;
      if (!sameRun) now.hold();
      boot = message.boot;
      try {
        await (sameRun ? refresh() : begin());
        await today.reload();
        await statistics.reload();
      } catch (error) {
        fail(error);
      }
      break;
    }
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
    case "hello":
    case "health":
    case "gap":
    case "stats":
      refreshSoon();
      break;
    default: // heartbeats, and types of later releases
  }
}

function connection(state, retryMs, reason) {
  const banner = byId("banner");
  banner.hidden = state === "open";
  if (state === "open") return;
  byId("status").dataset.state = "closed";
  setText(byId("status"), t("Not connected"));
  const broken = reason ? t("soundwatch cannot be reached ({reason}).", { reason }) : t("soundwatch cannot be reached.");
  const content = boot === null ? t("Nothing was loaded.") : t("The page shows an earlier state.");
  const again = retryMs > 1500 ? t("Reconnecting in {n} s…", { n: Math.round(retryMs / 1000) }) : t("Reconnecting…");
  setText(banner, `${broken} ${content} ${again}`);
}

function showTheme() {
  const names = { auto: t("Theme: auto"), light: t("Theme: light"), dark: t("Theme: dark") };
  setText(byId("theme"), names[document.documentElement.dataset.theme]);
}

showTheme();
document.addEventListener("theme", showTheme);
byId("language").replaceChildren(...Object.entries(NAMES).map(([code, name]) => el("option", { value: code, lang: code, selected: code === language }, name)));
byId("language").addEventListener("change", (event) => choose(event.target.value));

install().catch(() => {}); // without storage, as in a private window, the page is an ordinary one
const stream = new Stream(take, connection);
setInterval(() => !document.hidden && byId("banner").hidden && refresh().catch(() => {}), REFRESH_MS);

let hidden = null;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hidden);
  if (document.hidden) hidden = setTimeout(() => stream.show(false), HIDDEN_MS);
  else stream.show(true);
});
