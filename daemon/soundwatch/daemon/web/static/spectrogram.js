// The last minute of a source: events, spectrogram and level, on one canvas with one time axis.
//
// Columns arrive once a second and are shown with a delay, so that the picture moves evenly. With reduced motion the
// picture moves only when columns arrive.

import { colour, ramp } from "./colours.js";
import { words } from "./format.js";

const SECONDS = 60;
const RANGE_DB = 60;
const LANE = 20; // pixels for the events
const LEVEL = 44; // pixels for the level
const GAP = 14;
const AXIS = 18; // pixels for the time axis
const SIDE = 46; // pixels for the axis labels
const FRAME_MS = 50;
const QUIET_DB = -80;

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
    new ResizeObserver(() => this.draw(true)).observe(canvas);
    requestAnimationFrame((now) => this.frame(now));
  }

  stop() {
    this.running = false;
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
      for (const byte of bytes) peak = Math.max(peak, ring.minDb + byte * ring.stepDb);
    }
    const peakDb = Math.max(peak, this.peakDb - 1); // falls by 1 dB per second, so that quiet sounds become visible after loud ones
    if (Math.abs(peakDb - this.paintedDb) > 6) {
      this.peakDb = peakDb;
      this.recolour();
    } else {
      this.peakDb = peakDb;
      for (let column = last - message.columns; column < last; column += 1) this.paint(column % ring.columns);
    }
    if (still.matches) this.draw(true);
  }

  level(ms, dbfs) {
    if (this.levels.length && ms <= this.levels.at(-1)[0]) return; // already known
    this.levels.push([ms, dbfs]);
    while (this.levels.length && this.levels[0][0] < ms - (SECONDS + 5) * 1000) this.levels.shift();
    if (this.delayMs === null) this.delayMs = Date.now() - ms;
  }

  event(event) {
    this.events.set(event.id, event);
    for (const [id, other] of this.events) {
      if (other.offset && Date.parse(other.offset) < Date.now() - 2 * SECONDS * 1000) this.events.delete(id);
    }
  }

  begin(message) {
    const columns = Math.ceil((SECONDS + 4) / message.column_s);
    const picture = document.createElement("canvas");
    picture.width = columns;
    picture.height = message.bands;
    this.ring = {
      columns,
      bands: message.bands,
      columnS: message.column_s,
      minDb: message.min_db,
      stepDb: message.step_db,
      bytes: new Uint8Array(columns * message.bands),
      at: new Float64Array(columns).fill(-1),
      picture,
      context: picture.getContext("2d"),
      strip: new ImageData(1, message.bands),
    };
    this.recolour();
  }

  recolour() {
    this.ramp = ramp();
    this.paintedDb = this.peakDb;
    if (this.ring) for (let place = 0; place < this.ring.columns; place += 1) this.paint(place);
    this.draw(true);
  }

  paint(place) {
    const { ring } = this;
    const pixels = ring.strip.data;
    for (let band = 0; band < ring.bands; band += 1) {
      const db = ring.minDb + ring.bytes[place * ring.bands + band] * ring.stepDb;
      const shade = Math.max(0, Math.min(255, Math.round(((db - this.paintedDb + RANGE_DB) / RANGE_DB) * 255)));
      const pixel = 4 * (ring.bands - 1 - band);
      const known = ring.at[place] >= 0;
      for (let channel = 0; channel < 3; channel += 1) pixels[pixel + channel] = this.ramp[shade][channel];
      pixels[pixel + 3] = known ? 255 : 0;
    }
    ring.context.putImageData(ring.strip, place, 0);
  }

  frame(now) {
    if (!this.running) return;
    if (!still.matches && now - this.drawnMs >= FRAME_MS) {
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
    const perColumn = (width / SECONDS) * ring.columnS;
    const edge = edgeMs / 1000 / ring.columnS; // in columns, with a fraction
    const first = Math.floor(edge - SECONDS / ring.columnS);
    const last = Math.floor(edge);
    context.save();
    context.beginPath();
    context.rect(0, top, width, bottom - top);
    context.clip();
    for (let begin = first; begin <= last; ) {
      const place = begin % ring.columns;
      if (ring.at[place] !== begin) {
        begin += 1;
        continue;
      }
      let end = begin;
      while (end <= last && end % ring.columns >= place && ring.at[end % ring.columns] === end) end += 1;
      const left = width - (edge - begin) * perColumn;
      context.drawImage(ring.picture, place, 0, end - begin, ring.bands, left, top, (end - begin) * perColumn, bottom - top);
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
    context.fillText("now", width, height - 4);
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

// Center frequency of each band in hertz, from the front end of the model.
export function bandsHz(features) {
  const slaney = features.mel_scale === "slaney";
  const logStep = Math.log(6.4) / 27;
  const toMel = (hz) => {
    if (!slaney) return 2595 * Math.log10(1 + hz / 700);
    return hz < 1000 ? (3 * hz) / 200 : 15 + Math.log(hz / 1000) / logStep;
  };
  const toHz = (mel) => {
    if (!slaney) return 700 * (10 ** (mel / 2595) - 1);
    return mel < 15 ? (200 * mel) / 3 : 1000 * Math.exp((mel - 15) * logStep);
  };
  const [low, high] = [toMel(features.mel_min_hz), toMel(features.mel_max_hz)];
  return Array.from({ length: features.n_mels }, (_, band) => toHz(low + ((band + 1) * (high - low)) / (features.n_mels + 1)));
}
