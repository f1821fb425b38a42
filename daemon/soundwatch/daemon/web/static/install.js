// Makes the page installable: registers the service worker and keeps the files that this page has loaded. Browsers allow
// that over HTTPS and on this machine only.

const SHELL = "shell";

export async function install() {
  if (!("serviceWorker" in navigator) || !isSecureContext) return;
  const base = new URL(".", document.baseURI);
  await navigator.serviceWorker.register("worker.js", { scope: "./" });
  const files = performance.getEntriesByType("resource").map((entry) => entry.name);
  const own = files.filter((file) => file.startsWith(new URL("static/", base).href));
  await (await caches.open(SHELL)).addAll([...new Set([base.href, ...own])]);
}
