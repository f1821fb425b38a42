// The connection to the stream of soundwatch, which lasts as long as the page.

import { EventStreamConnection, PollingConnection, SocketConnection } from "./connections.js";

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10000;
const WELCOME_MS = 5000; // a proxy that holds messages back passes none in this time
const SILENCE_MS = 40000; // the server sends a heartbeat every 15 s
const FIRST_LIVE_MS = 10000; // until live kinds are tried after polling
const MAX_LIVE_MS = 300000;

// Calls `take` with each message, and `state` with "open" and whether the page polls, or with "closed", the time of the next
// attempt and a reason. Where a kind of connection does not pass, the next one is tried; the live kind that has connected
// is the first one from then on. While the page polls and is visible, the live kinds are tried at times.
export class Stream {
  constructor(take, state) {
    this.take = take;
    this.state = state;
    this.seq = null;
    this.live = true;
    this.kinds = [SocketConnection, EventStreamConnection, PollingConnection];
    this.tried = 0; // kinds
    this.retryMs = FIRST_RETRY_MS;
    this.liveMs = FIRST_LIVE_MS;
    this.open();
  }

  open() {
    clearTimeout(this.timer);
    const query = new URLSearchParams();
    if (this.seq !== null) query.set("since", this.seq);
    if (this.live) for (const kind of ["scores", "columns", "level", "recent"]) query.set(kind, "1");
    this.welcomed = false;
    const connection = new this.kinds[this.tried](
      query,
      (message) => connection === this.connection && this.read(message),
      (reason) => connection === this.connection && this.closed(reason),
    );
    this.connection = connection;
    this.watch(WELCOME_MS);
  }

  // Opens another connection in the place of this one.
  reopen() {
    clearTimeout(this.liveTimer);
    const previous = this.connection;
    this.connection = null;
    previous.close();
    this.tried = 0;
    this.open();
  }

  get polls() {
    return this.kinds[this.tried] === PollingConnection;
  }

  // Requests scores, columns and levels only while the page is visible.
  show(live) {
    if (live === this.live) return;
    this.live = live;
    this.reopen();
  }

  read(message) {
    if (message.type === "welcome") this.welcome(message);
    this.watch(SILENCE_MS);
    if (message.seq !== undefined && message.schema) this.seq = message.seq;
    this.take(message);
  }

  welcome({ seq }) {
    this.welcomed = true;
    this.retryMs = FIRST_RETRY_MS;
    this.seq = seq;
    clearTimeout(this.liveTimer);
    if (this.polls) {
      if (this.live) this.liveTimer = setTimeout(() => this.reopen(), this.liveMs); // `show` tries them for a hidden page
      this.liveMs = Math.min(2 * this.liveMs, MAX_LIVE_MS);
    } else {
      this.kinds.unshift(...this.kinds.splice(this.tried, 1));
      this.tried = 0;
      this.liveMs = FIRST_LIVE_MS;
    }
    this.state("open", { polls: this.polls });
  }

  // Closes a live connection without a message in this time; a polling one limits its requests itself.
  watch(ms) {
    clearTimeout(this.silence);
    if (!this.polls) this.silence = setTimeout(() => this.connection?.close(), ms);
  }

  closed(reason) {
    clearTimeout(this.silence);
    clearTimeout(this.liveTimer);
    if (!this.welcomed && this.tried + 1 < this.kinds.length) {
      this.tried += 1;
      this.open();
      return;
    }
    this.tried = 0;
    this.state("closed", { retryMs: this.retryMs, reason });
    this.timer = setTimeout(() => this.open(), this.retryMs);
    this.retryMs = Math.min(2 * this.retryMs, MAX_RETRY_MS);
  }
}
