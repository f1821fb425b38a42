// Changes of the configuration file. `changeSettings` is for any part of the page that writes a setting: first with
// `dryRun`, to show the lines that differ, then with the tag of that answer.

import { ask } from "./net.js";

// Every key with its text, default and value, the tag of the file, and the reason why nothing can be changed, or null.
export const settingsKeys = () => ask("api/settings/keys");

// Sets values by key and deletes the keys in `remove`. Returns the state (`checked`, `unchanged`, `reloaded`, `restart`),
// the lines that differ, the keys that wait for a restart, and the tag; throws an error with the reason of a refusal.
export async function changeSettings(changes, { remove = [], dryRun = false, tag } = {}) {
  const known = tag ?? (await settingsKeys()).tag;
  if (!known) throw new Error((await settingsKeys()).problem);
  return ask("api/settings", { method: "PUT", body: { changes, remove, dry_run: dryRun }, headers: { "If-Match": known } });
}

// A name as a part of a key; a name with a dot is quoted.
export const quoted = (name) => (name.includes(".") ? `"${name}"` : name);
