// The service worker: keeps the page's own files, so that an installed page opens without a connection and says so.
// Rule: the network is asked first, and only the page and `static/` are kept. Data of the API and sound never are.

const SHELL = "shell";

const isShell = (url) => {
  const path = url.href.slice(registration.scope.length);
  return url.href.startsWith(registration.scope) && (path === "" || path.startsWith("static/"));
};

async function fetched(request) {
  const shell = await caches.open(SHELL).catch(() => null); // no storage, as on a full disk: the network only
  const response = await fetch(request).catch(() => Response.error());
  if (response.ok && !response.redirected) await shell?.put(request, response.clone()).catch(() => null);
  const failed = response.type === "error" || response.status >= 500; // a proxy answers 502 for a program that is away
  return failed ? ((await shell?.match(request, { ignoreVary: true }).catch(() => null)) ?? response) : response;
}

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  if (event.request.method === "GET" && isShell(new URL(event.request.url))) event.respondWith(fetched(event.request));
});
