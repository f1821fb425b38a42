// Requests to the API, and the connection to the stream. All addresses are relative to the page, so that the page works
// under any path of a reverse proxy.

import { language } from "./language.js";

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10000;
const SILENCE_MS = 40000; // the server sends a heartbeat every 15 s
export const LANGUAGE = { "Accept-Language": language }; // of sentences in a response

// A path of the API from the server's root, relative to the page.
export const relative = (path) => path.replace(/^\//, "");

export async function ask(path, { method = "GET", body, query = {}, headers = {} } = {}) {
  const parts = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const url = parts.length ? `${path}?${new URLSearchParams(parts)}` : path;
  const options = { method, headers: { ...LANGUAGE, ...headers } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await fetch(url, options);
  if (response.status === 401) location.assign("login");
  const result = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(result.error ?? `${response.status} ${response.statusText}`);
  return result;
}

// A WebSocket: calls `take` with each message, and `closed` once with a reason.
class SocketConnection {
  constructor(query, take, closed) {
    const url = new URL(`api/ws?${query}`, document.baseURI);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    try {
      this.socket = new WebSocket(url);
    } catch (error) {
      queueMicrotask(() => closed(error.message)); // a browser without WebSockets, or a policy against them
      return;
    }
    this.socket.onmessage = (message) => take(JSON.parse(message.data));
    this.socket.onclose = (event) => closed(event.reason);
  }

  close() {
    this.socket?.close();
  }
}

// Server-Sent Events: the same messages. `fetch` also shows heartbeats, which `EventSource` hides.
class EventStreamConnection {
  constructor(query, take, closed) {
    this.controller = new AbortController();
    this.read(query, take).then(() => closed(""), (error) => closed(error.name === "AbortError" ? "" : error.message));
  }

  async read(query, take) {
    const response = await fetch(`api/stream?${query}`, { headers: LANGUAGE, signal: this.controller.signal });
    if (response.status === 401) location.assign("login");
    if (!response.ok) throw new Error((await response.json().catch(() => ({}))).error ?? String(response.status));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event);
        take(data ? JSON.parse(data[1]) : { type: "heartbeat" });
      }
    }
  }

  close() {
    this.controller.abort();
  }
}

// Calls `take` with each message, and `state` with "open", or with "closed" and the time of the next attempt. Where a
// WebSocket does not connect, attempts alternate with the event stream; a kind that has connected is used from then on.
export class Stream {
  constructor(take, state) {
    this.take = take;
    this.state = state;
    this.seq = null;
    this.live = true;
    this.kinds = [SocketConnection, EventStreamConnection];
    this.retryMs = FIRST_RETRY_MS;
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    const query = new URLSearchParams();
    if (this.seq !== null) query.set("since", this.seq);
    if (this.live) for (const kind of ["scores", "columns", "level", "recent"]) query.set(kind, "1");
    this.welcomed = false;
    const connection = new this.kinds[0](
      query,
      (message) => connection === this.connection && this.read(message),
      (reason) => connection === this.connection && this.closed(reason),
    );
    this.connection = connection;
    this.watch();
  }

  // Requests scores, columns and levels only while the page is visible.
  show(live) {
    if (live === this.live) return;
    this.live = live;
    const previous = this.connection;
    this.connection = null;
    previous.close();
    this.open();
  }

  read(message) {
    this.watch();
    if (message.type === "welcome") {
      this.welcomed = true;
      this.retryMs = FIRST_RETRY_MS;
      this.seq = message.seq;
      this.state("open");
    }
    if (message.seq !== undefined && message.schema) this.seq = message.seq;
    this.take(message);
  }

  watch() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.connection?.close(), SILENCE_MS);
  }

  closed(reason) {
    clearTimeout(this.silence);
    if (!this.welcomed) this.kinds.reverse();
    this.state("closed", this.retryMs, reason);
    this.timer = setTimeout(() => this.open(), this.retryMs);
    this.retryMs = Math.min(2 * this.retryMs, MAX_RETRY_MS);
  }
}
