// Live sound of a source: Opus through a MediaSource, so that the sound stays less than a second late; WAV where the
// server has no encoder.

import { t } from "./language.js";
import { request } from "./net.js";

const TYPE = 'audio/webm; codecs="opus"';
const LATE_S = 0.8; // more than this is skipped
const MARGIN_S = 0.3;

export class Listener {
  // `changed` is called with null when the sound plays, and with a reason when it has ended.
  constructor(name, audio, changed) {
    this.audio = audio;
    this.changed = changed;
    this.controller = new AbortController();
    this.url = `api/sources/${encodeURIComponent(name)}/listen`;
    this.run().then(() => this.end(t("The sound has ended.")), (error) => this.end(error.name === "AbortError" ? "" : error.message));
  }

  stop() {
    this.controller.abort();
  }

  end(reason) {
    this.controller.abort();
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    this.changed(reason);
  }

  async run() {
    const response = await request(this.url, { signal: this.controller.signal });
    const opus = response.headers.get("Content-Type").startsWith("audio/webm") && window.MediaSource?.isTypeSupported(TYPE);
    if (opus) await this.playOpus(response.body.getReader());
    else await this.playFile(response);
  }

  async playOpus(reader) {
    const source = new MediaSource();
    this.audio.src = URL.createObjectURL(source);
    await new Promise((opened) => source.addEventListener("sourceopen", opened, { once: true }));
    URL.revokeObjectURL(this.audio.src);
    const buffer = source.addSourceBuffer(TYPE);
    const updated = () => new Promise((done) => buffer.addEventListener("updateend", done, { once: true }));
    this.audio.play().then(() => this.changed(null), () => {});
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffer.appendBuffer(value);
      await updated();
      if (!buffer.buffered.length) continue;
      const end = buffer.buffered.end(buffer.buffered.length - 1);
      if (end - this.audio.currentTime > LATE_S) this.audio.currentTime = Math.max(0, end - MARGIN_S);
      if (end > 60 && buffer.buffered.start(0) < end - 30) {
        buffer.remove(0, end - 10);
        await updated();
      }
    }
  }

  // The browser reads the address by itself; `fetch` has only checked it.
  async playFile(response) {
    await response.body.cancel();
    this.audio.src = this.url;
    await this.audio.play();
    this.changed(null);
    await new Promise((ended, failed) => {
      this.audio.addEventListener("ended", ended, { once: true });
      this.audio.addEventListener("error", () => failed(new Error(t("The sound cannot be played."))), { once: true });
      this.controller.signal.addEventListener("abort", ended, { once: true });
    });
  }
}
