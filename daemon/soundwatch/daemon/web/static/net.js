// Asking the API, and staying connected to the stream.

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10000;
const SILENCE_MS = 40000; // the server says something every 15 s

export async function ask(path, { method = "GET", body, query = {} } = {}) {
  const parts = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const url = parts.length ? `${path}?${new URLSearchParams(parts)}` : path;
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(url, options);
  if (answer.status === 401) location.assign("/login");
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.error ?? `${answer.status} ${answer.statusText}`);
  return told;
}

// Calls `take` with each message, `state` with "open", or "closed" and when it is tried again.
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
    if (this.live) for (const what of ["scores", "columns"]) query.set(what, "1");
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/ws?${query}`);
    this.socket = socket;
    socket.onmessage = (message) => socket === this.socket && this.read(JSON.parse(message.data));
    socket.onclose = (event) => socket === this.socket && this.closed(event);
  }

  // Pictures and scores only while somebody can see them.
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
    this.retryMs = Math.min(2 * this.retryMs, LONGEST_RETRY_MS);
  }
}
