// Numbers, moments and durations as people read them: moments in the reader's zone, with all of them in a title.

import { el } from "./dom.js";

const [HERE, TWO] = [navigator.language, "2-digit"];
const MINUTE = new Intl.DateTimeFormat(HERE, { hour: TWO, minute: TWO, hourCycle: "h23" });
const SECOND = new Intl.DateTimeFormat(HERE, { hour: TWO, minute: TWO, second: TWO, hourCycle: "h23" });
const WHOLE = new Intl.DateTimeFormat(HERE, { dateStyle: "full", timeStyle: "long", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(HERE, { month: "short", day: "numeric" });
const UNITS = [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]];

export const number = (value) => value.toLocaleString("en");

export const many = (value, thing, things) => `${number(value)} ${value === 1 ? thing : things}`;

export function rate(value) {
  if (value === null) return "–";
  return value >= 100 ? number(Math.round(value)) : value.toFixed(1);
}

export const day = (moment) => DAY.format(new Date(moment));

export function clock(moment, format = SECOND) {
  const [date, now] = [new Date(moment), new Date()];
  return date.toDateString() === now.toDateString() ? format.format(date) : `${day(date)}, ${format.format(date)}`;
}

export const when = (stamp) => (stamp ? time(stamp, SECOND) : "–");

export const whenabouts = (stamp) => time(stamp, MINUTE);

function time(stamp, format) {
  return el("time", { datetime: stamp, title: `${WHOLE.format(new Date(stamp))}\n${stamp}` }, clock(stamp, format));
}

export function span(seconds) {
  for (const [unit, size, lesser, part] of UNITS) {
    const rest = Math.floor((seconds % size) / part);
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${lesser}` : ""}`;
  }
  if (seconds >= 10) return `${Math.round(seconds)} s`;
  return seconds >= 1 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds * 1000)} ms`;
}

export const lateness = (seconds) => (seconds < 0.1 ? "0 s" : span(seconds));
