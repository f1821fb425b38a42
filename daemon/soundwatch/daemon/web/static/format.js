// Formats numbers and times; times are in the reader's time zone.

import { present } from "./clock.js";
import { fixed, locale, t, words } from "./language.js";

const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
const dateOfAnotherYear = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

const dateAndTime = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const fullDate = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long", year: "numeric" });

export const time = (utc) => clock.format(new Date(utc));
// A time of the past: with its date where that is not the present one, without a time of another year.
export function past(utc) {
  const [then, now] = [new Date(utc), new Date(present())];
  if (midnight(then).getTime() === midnight(now).getTime()) return time(utc);
  return then.getFullYear() === now.getFullYear() ? dateAndTime.format(then) : fullDate.format(then);
}
export const day = (moment) => (moment.getFullYear() === new Date(present()).getFullYear() ? date : dateOfAnotherYear).format(moment);
export const score = (value) => fixed(value, 2);
export const level = (db, unit = "dBFS") => (db === null || db === undefined ? t("silent") : `${fixed(db, 1)} ${unit}`);
export const decibels = (db) => (db === null || db === undefined ? t("silent") : fixed(db, 1));
export const weighted = (calibrated) => (calibrated ? "dB(A)" : t("dBFS(A), not calibrated"));

// The highest tags of an event or a window, highest first.
export const highest = (tags, count = 3) =>
  Object.entries(tags ?? {})
    .sort((one, other) => other[1] - one[1])
    .slice(0, count)
    .map(([name, value]) => `${words(name)} ${score(value)}`)
    .join(t(", "));

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 60) return t("{seconds} s", { seconds: seconds < 10 ? fixed(seconds, 1) : String(Math.round(seconds)) });
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return t("{n} min", { n: minutes });
  if (minutes < 48 * 60) return t("{hours} h {minutes} min", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
  return t("{n} days", { n: Math.round(minutes / 1440) });
}

export const share = (value) => {
  if (value === null || value === undefined) return "–";
  return value >= 0.99995 ? "100 %" : `${fixed(Math.floor(value * 1000) / 10, 1)} %`;
};

export function midnight(moment, daysLater = 0) {
  return new Date(moment.getFullYear(), moment.getMonth(), moment.getDate() + daysLater);
}
