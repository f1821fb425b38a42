// A part of the page that loads by itself: a failed request is shown in that part only, with a button, and the part tries
// again ever later until it has loaded. Without a connection nothing is requested.

import { byId, el, setText } from "./dom.js";
import { t } from "./language.js";

const FIRST_RETRY_MS = 2000;
const MAX_RETRY_MS = 60000;
const SLOW_MS = 400;

export class Part {
  // `load` gets a function that says if its request is still the last one, and the arguments of `load()`; `say` gives the
  // sentence about a failure. A part that shows one of several things, as one day, has a `subject`, which names the one to
  // load, and `clear`, which empties the part: no other one is shown while the request is slow and after it has failed.
  constructor(id, load, say, { subject = () => "", clear = () => {} } = {}) {
    this.box = byId(id);
    this.placeholder = byId(`${id}-state`) ?? this.box.querySelector(".empty");
    this.get = load;
    this.say = say;
    this.subject = subject;
    this.clear = clear;
    this.shown = null; // the subject of what is shown
    this.requests = 0;
    this.retryMs = FIRST_RETRY_MS;
    this.reason = el("span", {});
    this.notice = el("p", { class: "failure", role: "alert" }, this.reason, el("button", { type: "button", onclick: () => this.load(...this.last) }, t("Try again")));
  }

  async load(...last) {
    clearTimeout(this.timer);
    clearTimeout(this.slow);
    this.last = last;
    this.requests += 1;
    const request = this.requests;
    const subject = this.subject();
    const current = () => request === this.requests;
    if (this.shown !== null && this.shown !== subject) this.slow = setTimeout(() => this.empty(), SLOW_MS);
    try {
      await this.get(current, ...last);
      if (current()) this.done(subject);
    } catch (error) {
      if (current()) this.fail(error.message, subject);
    }
  }

  empty() {
    this.shown = null;
    this.clear();
    if (this.placeholder) this.placeholder.hidden = false;
  }

  done(subject) {
    clearTimeout(this.slow);
    this.shown = subject;
    this.retryMs = FIRST_RETRY_MS;
    const focused = this.notice.contains(document.activeElement);
    this.notice.remove();
    if (!focused) return;
    this.box.tabIndex = -1; // the button that had the focus is gone
    this.box.focus({ preventScroll: true });
  }

  fail(reason, subject) {
    clearTimeout(this.slow);
    if (this.shown !== null && this.shown !== subject) this.empty();
    if (this.placeholder) this.placeholder.hidden = true;
    if (!this.notice.isConnected) this.box.before(this.notice);
    setText(this.reason, this.say(reason));
    this.retry();
  }

  retry() {
    this.timer = setTimeout(() => (byId("banner").hidden ? this.load(...this.last) : this.retry()), this.retryMs);
    this.retryMs = Math.min(2 * this.retryMs, MAX_RETRY_MS);
  }
}
