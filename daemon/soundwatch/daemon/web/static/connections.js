// The three kinds of connection for the messages of soundwatch: WebSocket, Server-Sent Events, and polling.

import { NoAnswer, ask, request } from "./net.js";

const POLL_MS = 5000;
const HIDDEN_POLL_MS = 15000; // of a hidden page, which requests no scores
const POLL_LINES = 1000; // most lines of a response
const ANSWER_MS = 30000; // most time for a response

// Why a connection was closed; empty where soundwatch gave no reason.
const reasonOf = (error) => (error instanceof NoAnswer || error instanceof TypeError || error.name === "AbortError" ? "" : error.message);

// A WebSocket: calls `take` with each message, and `closed` once with a reason.
export class SocketConnection {
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
export class EventStreamConnection {
  constructor(query, take, closed) {
    this.controller = new AbortController();
    this.read(query, take).then(() => closed(""), (error) => closed(reasonOf(error)));
  }

  async read(query, take) {
    const response = await request(`api/stream?${query}`, { signal: this.controller.signal });
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

// Polling, where a proxy passes neither: the lines of the journal, and "poll" after each response. The API has no
// spectrogram, and the scores of the last window only. A time limit holds for each request alone, since browsers delay the
// timers of a hidden page by minutes: a limit on the pauses would end a connection that works.
export class PollingConnection {
  constructor(query, take, closed) {
    this.controller = new AbortController();
    this.read(query, take).then(() => closed(""), (error) => closed(reasonOf(error)));
  }

  async read(query, take) {
    const welcome = async (since) => {
      const { boot, last_seq } = await this.answer("api/health");
      const seq = Math.min(since ?? last_seq, last_seq);
      take({ type: "welcome", boot, seq, known: seq === (since ?? seq) });
      return seq;
    };
    let seq = await welcome(query.has("since") ? Number(query.get("since")) : null);
    for (;;) {
      const { lines, last_seq } = await this.answer("api/lines", { since: seq, limit: POLL_LINES });
      if (last_seq < seq) seq = await welcome(seq); // another journal
      else if (lines.length && lines[0].seq > seq + 1) take({ type: "lost" });
      for (const line of lines) take(line);
      if (lines.some((line) => line.type === "hello")) await welcome(lines.at(-1).seq); // a restart between two requests
      seq = lines.at(-1)?.seq ?? last_seq;
      take({ type: "poll" });
      if (lines.length < POLL_LINES) await pause(query.has("scores") ? POLL_MS : HIDDEN_POLL_MS, this.controller.signal);
    }
  }

  async answer(path, query = {}) {
    const timer = setTimeout(() => this.close(), ANSWER_MS);
    try {
      return await ask(path, { query, signal: this.controller.signal });
    } finally {
      clearTimeout(timer);
    }
  }

  close() {
    this.controller.abort();
  }
}

// A pause that ends at once with the connection; the next request is then aborted.
const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(end, ms);
    function end() {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    }
    signal.addEventListener("abort", end);
  });
