// The last minute of a source: events, spectrogram and level, on one canvas with one time axis.
//
// Columns arrive once a second and are shown with a delay, so that the picture moves evenly. With reduced motion the
// picture moves only when columns arrive.

import { present } from "./clock.js";
import { colour, ramp } from "./colours.js";
import { t, words } from "./language.js";

const SECONDS = 60;
const RANGE_DB = 60;
const LANE = 20; // pixels for the events
const LEVEL = 44; // pixels for the level
const GAP = 14;
const AXIS = 18; // pixels for the time axis
const SIDE = 46; // pixels for the axis labels
const FRAME_MS = 50;
const QUIET_DB = -80;
const MOST_POOLED = 16; // columns of a strip of the picture

const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Spectrogram {
  constructor(canvas, bandsHz) {
    this.canvas = canvas;
    this.bandsHz = bandsHz;
    this.levels = []; // [ms, dBFS]
    this.events = new Map();
    this.delayMs = null;
    this.peakDb = -20;
    this.drawnMs = 0;
    this.running = true;
    document.addEventListener("theme", () => this.recolour());
    new ResizeObserver(() => (this.ring && this.pool() ? this.recolour() : this.draw(true))).observe(canvas);
    this.seen = true;
    this.sight = new IntersectionObserver((entries) => (this.seen = entries.at(-1).isIntersecting));
    this.sight.observe(canvas);
    requestAnimationFrame((now) => this.frame(now));
  }

  stop() {
    this.running = false;
    this.sight.disconnect();
  }

  // Writes the bytes of a `columns` message into the ring buffer.
  take(message) {
    if (!this.ring || this.ring.bands !== message.bands || this.ring.columnS !== message.column_s) this.begin(message);
    const data = Uint8Array.from(atob(message.data), (letter) => letter.charCodeAt(0));
    const endMs = Date.parse(message.time);
    const arrived = Date.now() - endMs;
    this.delayMs = this.delayMs === null ? arrived : Math.max(Math.min(this.delayMs, arrived), arrived - 2000);
    const ring = this.ring;
    const last = Math.round(endMs / 1000 / ring.columnS);
    let peak = QUIET_DB;
    for (let column = 0; column < message.columns; column += 1) {
      const place = (last - message.columns + column) % ring.columns;
      const bytes = data.subarray(column * ring.bands, (column + 1) * ring.bands);
      ring.bytes.set(bytes, place * ring.bands);
      ring.at[place] = last - message.columns + column;
      const ageS = (message.columns - 1 - column) * ring.columnS;
      for (const byte of bytes) peak = Math.max(peak, ring.minDb + byte * ring.stepDb - ageS);
    }
    // Falls by 1 dB per second, so that quiet sounds become visible after loud ones.
    const peakDb = Math.max(peak, this.peakDb - message.columns * ring.columnS);
    if (Math.abs(peakDb - this.paintedDb) > 6) {
      this.peakDb = peakDb;
      this.recolour();
    } else {
      this.peakDb = peakDb;
      this.paintAll(Math.floor((last - message.columns) / ring.pool), Math.floor((last - 1) / ring.pool));
    }
    if (still.matches) this.draw(true);
  }

  // Adds a level by its time: those of the last minute come after the present one when the page opens.
  level(ms, dbfs) {
    let place = this.levels.length;
    while (place && this.levels[place - 1][0] > ms) place -= 1;
    if (place && this.levels[place - 1][0] === ms) return; // already known
    this.levels.splice(place, 0, [ms, dbfs]);
    while (this.levels[0][0] < this.levels.at(-1)[0] - (SECONDS + 5) * 1000) this.levels.shift();
    this.delayMs = Math.min(this.delayMs ?? Infinity, Date.now() - ms);
  }

  event(event) {
    this.events.set(event.id, event);
    const since = present() - 2 * SECONDS * 1000;
    for (const [id, other] of this.events) if (Date.parse(other.offset) < since) this.events.delete(id); // NaN without an end
  }

  begin(message) {
    this.ring = {
      columns: MOST_POOLED * Math.ceil((SECONDS + 4) / message.column_s / MOST_POOLED),
      bands: message.bands,
      columnS: message.column_s,
      minDb: message.min_db,
      stepDb: message.step_db,
      strip: new ImageData(1, message.bands),
    };
    this.ring.bytes = new Uint8Array(this.ring.columns * message.bands);
    this.ring.at = new Float64Array(this.ring.columns).fill(-1);
    this.pool();
    this.recolour();
  }

  // Chooses how many columns share a strip of the picture: as many as a pixel of the screen has. A strip shows the highest
  // value of its columns, so that a narrow screen shows short sounds too.
  pool() {
    const { ring } = this;
    const pixels = Math.max(1, (this.canvas.clientWidth - SIDE) * (devicePixelRatio || 1));
    let pool = 1;
    while (pool < MOST_POOLED && SECONDS / ring.columnS / pool > pixels) pool *= 2;
    if (pool === ring.pool) return false;
    ring.pool = pool;
    ring.picture = document.createElement("canvas");
    ring.picture.width = ring.columns / pool;
    ring.picture.height = ring.bands;
    ring.context = ring.picture.getContext("2d");
    ring.painted = new Float64Array(ring.columns / pool).fill(-1);
    return true;
  }

  recolour() {
    this.ramp = ramp();
    this.paintedDb = this.peakDb;
    if (this.ring) {
      const newest = Math.floor(this.ring.at.reduce((most, at) => Math.max(most, at), 0) / this.ring.pool);
      this.paintAll(newest - this.ring.columns / this.ring.pool + 1, newest);
    }
    this.draw(true);
  }

  paintAll(first, last) {
    for (let strip = Math.max(0, first); strip <= last; strip += 1) this.paint(strip);
  }

  // Paints one strip: the highest byte of each band over the columns that are known.
  paint(strip) {
    const { ring } = this;
    const pixels = ring.strip.data;
    const columns = [];
    for (let column = strip * ring.pool; column < (strip + 1) * ring.pool; column += 1) {
      if (ring.at[column % ring.columns] === column) columns.push((column % ring.columns) * ring.bands);
    }
    if (!columns.length) return;
    for (let band = 0; band < ring.bands; band += 1) {
      let byte = 0;
      for (const first of columns) byte = Math.max(byte, ring.bytes[first + band]);
      const db = ring.minDb + byte * ring.stepDb;
      const shade = Math.max(0, Math.min(255, Math.round(((db - this.paintedDb + RANGE_DB) / RANGE_DB) * 255)));
      const pixel = 4 * (ring.bands - 1 - band);
      for (let channel = 0; channel < 3; channel += 1) pixels[pixel + channel] = this.ramp[shade][channel];
      pixels[pixel + 3] = 255;
    }
    const place = strip % ring.painted.length;
    ring.context.putImageData(ring.strip, place, 0);
    ring.painted[place] = strip;
  }

  frame(now) {
    if (!this.running) return;
    if (this.seen && !still.matches && now - this.drawnMs >= FRAME_MS) {
      this.drawnMs = now;
      this.draw(false);
    }
    requestAnimationFrame((next) => this.frame(next));
  }

  edgeMs() {
    const lagMs = still.matches ? 0 : 1100; // one hop, and a margin for late columns
    return Date.now() - (this.delayMs ?? 0) - lagMs;
  }

  draw(resized) {
    const { canvas } = this;
    const scale = devicePixelRatio || 1;
    const width = canvas.clientWidth - SIDE;
    const height = canvas.clientHeight;
    if (width <= 0 || !height) return;
    if (resized || canvas.width !== Math.round(canvas.clientWidth * scale)) {
      canvas.width = Math.round(canvas.clientWidth * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, height);
    const ink = { text: colour("--muted"), rule: colour("--rule"), accent: colour("--accent"), on: colour("--on-accent") };
    const edgeMs = this.edgeMs();
    const x = (ms) => width - ((edgeMs - ms) / 1000 / SECONDS) * width;
    const bottom = height - AXIS - LEVEL - GAP;
    this.drawPicture(context, edgeMs, width, LANE, bottom);
    this.drawLane(context, x, width, edgeMs, ink);
    context.save();
    context.beginPath();
    context.rect(0, bottom, width, height - bottom);
    context.clip();
    this.drawLevel(context, x, width, bottom + GAP, ink);
    context.restore();
    this.drawAxes(context, width, height, bottom, ink);
  }

  drawPicture(context, edgeMs, width, top, bottom) {
    context.fillStyle = colour("--ramp-0");
    context.fillRect(0, top, width, bottom - top);
    const { ring } = this;
    if (!ring) return;
    const stripS = ring.columnS * ring.pool;
    const perStrip = (width / SECONDS) * stripS;
    const edge = edgeMs / 1000 / stripS; // in strips, with a fraction
    const first = Math.floor(edge - SECONDS / stripS);
    const last = Math.floor(edge);
    context.save();
    context.beginPath();
    context.rect(0, top, width, bottom - top);
    context.clip();
    for (let begin = first; begin <= last; ) {
      const strips = ring.painted.length;
      const place = begin % strips;
      if (ring.painted[place] !== begin) {
        begin += 1;
        continue;
      }
      let end = begin;
      while (end <= last && end % strips >= place && ring.painted[end % strips] === end) end += 1;
      const left = width - (edge - begin) * perStrip;
      context.drawImage(ring.picture, place, 0, end - begin, ring.bands, left, top, (end - begin) * perStrip, bottom - top);
      begin = end;
    }
    context.restore();
  }

  drawLane(context, x, width, edgeMs, ink) {
    context.font = "600 11px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (const event of this.events.values()) {
      const left = Math.max(0, x(Date.parse(event.onset)));
      const right = Math.min(width, x(event.offset ? Date.parse(event.offset) : edgeMs));
      if (right <= 0 || left >= width || right - left < 1) continue;
      context.fillStyle = ink.accent;
      context.fillRect(left, 2, right - left, LANE - 5);
      const name = words(event.class);
      if (context.measureText(name).width + 8 > right - left) continue;
      context.fillStyle = ink.on;
      context.fillText(name, left + 4, (LANE - 1) / 2 + 0.5);
    }
  }

  drawLevel(context, x, width, top, ink) {
    const y = (dbfs) => top + LEVEL - (Math.max(QUIET_DB, dbfs ?? QUIET_DB) / -QUIET_DB + 1) * LEVEL;
    context.strokeStyle = ink.rule;
    context.lineWidth = 1;
    for (const dbfs of [0, -40, -80]) {
      context.beginPath();
      context.moveTo(0, Math.round(y(dbfs)) + 0.5);
      context.lineTo(width, Math.round(y(dbfs)) + 0.5);
      context.stroke();
    }
    for (const points of this.segments()) {
      context.beginPath();
      for (const [ms, dbfs] of points) context.lineTo(x(ms), y(dbfs));
      context.strokeStyle = ink.accent;
      context.lineWidth = 1.5;
      context.stroke();
      context.lineTo(x(points.at(-1)[0]), top + LEVEL);
      context.lineTo(x(points[0][0]), top + LEVEL);
      context.globalAlpha = 0.14;
      context.fillStyle = ink.accent;
      context.fill();
      context.globalAlpha = 1;
    }
  }

  // Splits the levels at gaps.
  segments() {
    const found = [];
    let before = null;
    for (const point of this.levels) {
      if (before === null || point[0] - before > 2500) found.push([]);
      found.at(-1).push(point);
      before = point[0];
    }
    return found;
  }

  drawAxes(context, width, height, bottom, ink) {
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "alphabetic";
    context.fillStyle = ink.text;
    const step = width < 500 ? 20 : 10;
    for (let seconds = step; seconds < SECONDS; seconds += step) {
      const text = `−${seconds} s`;
      context.fillText(text, width - (seconds / SECONDS) * width - context.measureText(text).width / 2, height - 4);
    }
    context.textAlign = "right";
    context.fillText(t("now"), width, height - 4);
    context.textAlign = "left";
    context.fillText("0 dBFS", width + 6, bottom + GAP + 8);
    context.fillText("−80", width + 6, height - AXIS);
    for (const hz of [250, 500, 1000, 2000, 4000]) {
      const place = this.bandsHz.findIndex((bandHz) => bandHz >= hz);
      if (place < 0) continue;
      const y = bottom - (place / this.bandsHz.length) * (bottom - LANE);
      context.fillText(hz < 1000 ? `${hz} Hz` : `${hz / 1000} kHz`, width + 6, y + 4);
    }
  }
}
