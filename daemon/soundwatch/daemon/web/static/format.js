// Formats numbers and times; times are in the reader's time zone.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export const words = (name) => name.replaceAll("_", " ");
export const time = (utc) => clock.format(new Date(utc));
export const day = (moment) => date.format(moment);
export const score = (value) => value.toFixed(2);
export const level = (db, unit = "dBFS") => (db === null || db === undefined ? "silent" : `${db.toFixed(1)} ${unit}`.replace("-", "−"));
export const decibels = (db) => (db === null || db === undefined ? "silent" : db.toFixed(1).replace("-", "−"));
export const weighted = (calibrated) => (calibrated ? "dB(A)" : "dBFS(A), not calibrated");
export const many = (count, one, more = `${one}s`) => `${count.toLocaleString()} ${count === 1 ? one : more}`;


// The highest tags of an event or a window, highest first.
export const highest = (tags, count = 3) =>
  Object.entries(tags ?? {})
    .sort((one, other) => other[1] - one[1])
    .slice(0, count)
    .map(([name, value]) => `${words(name)} ${score(value)}`)
    .join(", ");

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(minutes / 1440)} days`;
}

export const share = (value) => {
  if (value === null || value === undefined) return "–";
  return value >= 0.99995 ? "100 %" : `${(Math.floor(value * 1000) / 10).toFixed(1)} %`;
};

export function midnight(moment, daysLater = 0) {
  return new Date(moment.getFullYear(), moment.getMonth(), moment.getDate() + daysLater);
}
