// A watch drawn: a lane for the watch itself and for each message, with the states that each was in over time.

import { el, put, quote, state, svg } from "./dom.js";
import { clock, day } from "./words.js";

const FIRST = 40; // lanes that are drawn at once
const [HEIGHT, TOP, THICK] = [20, 2.5, 14]; // of a lane and of a bar in it
const [LETTER, TICK] = [6.6, 84]; // as wide as a letter is, and a moment on the axis
const [MINUTE, HOUR, DAY] = [60, 3600, 86_400];
const STEPS = [
  ...[0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE],
  ...[HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 90 * DAY],
];
const WHOLE = Symbol("the watch");

// Returns what draws a watch.
export function timeline(holder) {
  const rows = el("ol", { class: "lanes" });
  const axis = svg("svg", { class: "axis", height: HEIGHT, "aria-hidden": "true" });
  const more = el("button", { type: "button", click: () => { isWhole = true; draw(watch); } });
  const stripes = svg("pattern",
    { id: "stripes", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    svg("rect", { width: 1.5, height: 5 }));
  put(holder, rows, axis, more, svg("svg", { width: 0, height: 0, "aria-hidden": "true" }, stripes));
  let [watch, isWhole, width] = [null, false, 0];

  function draw(next) {
    if (next?.id !== watch?.id) isWhole = false;
    watch = next;
    if (!watch) return;
    const all = [...lanes(watch.events)];
    const scale = scaled(watch, width);
    put(rows, (isWhole ? all : all.slice(0, FIRST)).map(([key, marks]) => lane(key, marks, watch, scale)));
    put(axis, ticks(scale));
    more.hidden = isWhole || all.length <= FIRST;
    more.textContent = `Show all ${all.length} lanes`;
  }

  new ResizeObserver(([{ contentRect }]) => {
    if (contentRect.width === width) return;
    width = contentRect.width;
    draw(watch);
  }).observe(axis);
  return draw;
}

// By message, in the order of appearance: what it was, and from when on.
function lanes(events) {
  const found = new Map([[WHOLE, []]]);
  for (const { type, timestamp, data } of events) {
    const key = { "watch.status.changed": WHOLE, "message.status.changed": data.message }[type];
    if (key === undefined) continue;
    if (!found.has(key)) found.set(key, []);
    found.get(key).push({ at: Date.parse(timestamp), stamp: timestamp, status: String(data.to), state: data.to_state });
  }
  return found;
}

function scaled({ accepted_at, finished_at, events }, width) {
  const [start, last] = [Date.parse(accepted_at), Date.parse(events.at(-1)?.timestamp ?? accepted_at)];
  const end = Math.max(finished_at === null ? Date.now() : Date.parse(finished_at), last, start + 1000);
  return { start, end, width, x: (moment) => ((moment - start) / (end - start)) * width };
}

function lane(key, marks, watch, scale) {
  const middle = HEIGHT / 2;
  const line = svg("line", { class: "base", x1: 0, x2: "100%", y1: middle, y2: middle });
  const bars = marks.map((mark, place) => bar(mark, marks[place + 1]?.at ?? scale.end, scale));
  const [last, below] = [marks.at(-1), key === WHOLE && troubles(watch, scale)];
  return el("li", null,
    el("span", { class: "key" }, key === WHOLE ? "the watch" : quote(key, 40)),
    svg("svg", { class: "lane", height: HEIGHT, "aria-hidden": "true" }, line, bars, below),
    el("span", { class: "now" }, last ? state(last.state, quote(last.status, 40)) : "nothing seen yet"),
    el("span", { class: "unseen" }, marks.map((mark) => [", ", quote(mark.status, 40), ` at ${clock(mark.at)}`])));
}

// An `svg` of its own, which cuts the word off where the bar ends.
function bar({ at, stamp, status, state: word }, end, { width: whole, x }) {
  const width = Math.max(x(end) - x(at), 3);
  const box = { x: 0.5, y: TOP, width: Math.max(width - 1.5, 1.5), height: THICK, rx: 2 };
  const room = Math.floor((width - 8) / LETTER);
  const text = status.length > room ? `${status.slice(0, room - 1)}…` : status;
  return svg("svg", { x: Math.min(x(at), whole - 3), width, height: HEIGHT },
    svg("title", null, `${status.slice(0, 200)}: ${stamp}`),
    svg("rect", { class: word, ...box }),
    word === "failed" && svg("rect", { ...box, fill: "url(#stripes)" }),
    room >= Math.min(status.length, 3) && svg("text", { class: word, x: 5, y: TOP + THICK - 4 }, text));
}

// The spells in which nothing was seen, as a line below.
function troubles({ events }, { end, x }) {
  const spells = [];
  for (const { type, timestamp, data } of events) {
    if (type === "watch.trouble") spells.push({ from: Date.parse(data.since), to: end });
    else if (type === "watch.recovered" && spells.length) spells.at(-1).to = Date.parse(timestamp);
  }
  return spells.map(({ from, to }) =>
    svg("rect", { class: "trouble", x: x(from), y: HEIGHT - 3, width: Math.max(x(to) - x(from), 3), height: 3 }));
}

function ticks({ start, end, width, x }) {
  const step = STEPS.find((seconds) => ((end - start) / 1000 / seconds) * TICK < width) ?? STEPS.at(-1);
  const [each, zone] = [step * 1000, step < DAY ? 0 : new Date(start).getTimezoneOffset() * MINUTE * 1000];
  const first = Math.ceil((start - zone) / each) * each + zone;
  const number = Math.max(Math.ceil((end - first) / each), 0);
  const moments = Array.from({ length: number }, (_, place) => first + place * each);
  return moments.filter((moment) => x(moment) < width - TICK).map((moment) => [
    svg("line", { x1: x(moment), x2: x(moment), y1: 0, y2: 5 }),
    svg("text", { x: x(moment) + 3, y: 13 }, step < DAY ? clock(moment) : day(moment)),
  ]);
}
