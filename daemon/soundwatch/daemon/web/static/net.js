// Requests to the API, and the connection to the stream.

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10000;
const SILENCE_MS = 40000; // the server sends a heartbeat every 15 s

export async function ask(path, { method = "GET", body, query = {} } = {}) {
  const parts = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const url = parts.length ? `${path}?${new URLSearchParams(parts)}` : path;
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await fetch(url, options);
  if (response.status === 401) location.assign("/login");
  const result = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(result.error ?? `${response.status} ${response.statusText}`);
  return result;
}

// Calls `take` with each message, and `state` with "open", or with "closed" and the time of the next attempt.
export class Stream {
  constructor(take, state) {
    this.take = take;
    this.state = state;
    this.seq = null;
    this.live = true;
    this.retryMs = FIRST_RETRY_MS;
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    const query = new URLSearchParams();
    if (this.seq !== null) query.set("since", this.seq);
    if (this.live) for (const kind of ["scores", "columns"]) query.set(kind, "1");
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/ws?${query}`);
    this.socket = socket;
    socket.onmessage = (message) => socket === this.socket && this.read(JSON.parse(message.data));
    socket.onclose = (event) => socket === this.socket && this.closed(event);
  }

  // Requests scores and columns only while the page is visible.
  show(live) {
    if (live === this.live) return;
    this.live = live;
    this.socket.onclose = null;
    this.socket.close();
    this.open();
  }

  read(message) {
    this.watch();
    if (message.type === "welcome") {
      this.retryMs = FIRST_RETRY_MS;
      this.seq = message.seq;
      this.state("open");
    }
    if (message.seq !== undefined && message.schema) this.seq = message.seq;
    this.take(message);
  }

  watch() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket.close(), SILENCE_MS);
  }

  closed(event) {
    clearTimeout(this.silence);
    this.state("closed", this.retryMs, event.reason);
    this.timer = setTimeout(() => this.open(), this.retryMs);
    this.retryMs = Math.min(2 * this.retryMs, MAX_RETRY_MS);
  }
}
