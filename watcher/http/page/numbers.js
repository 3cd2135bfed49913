// The numbers below the first sentence: each with what it was in the last minutes, drawn.

import { at, el, list, say, svg } from "./dom.js";
import { lateness, number, rate } from "./words.js";

const WINDOW = 10_000; // milliseconds over which a rate is taken
const FEWEST = 30; // points of a plot, and
const MOST = 150; // as many as five minutes have

const past = []; // the last seconds: when we were told, and what had been counted by then
const series = { open: [], polls: [], changes: [], late: [], waiting: [], rejected: [] };

// Returns polls and changes a second, by provider: null as long as nobody can know.
export function rates({ providers }) {
  const now = { at: performance.now(), counted: Object.fromEntries(providers.map((one) => [one.name, one])) };
  past.push(now);
  while (past.length > 2 && now.at - past[1].at > WINDOW) past.shift();
  const [before, seconds] = [past[0], (now.at - past[0].at) / 1000];
  const grown = (one, key) => (one[key] - (before.counted[one.name]?.[key] ?? Infinity)) / seconds;
  const known = (value) => (value >= 0 ? value : null); // they start at 0 again with the daemon
  return new Map(providers.map((one) =>
    [one.name, { polls: known(grown(one, "polls")), changes: known(grown(one, "changes")) }]));
}

export function count(status, byProvider) {
  const late = Math.max(0, ...status.providers.map((one) => one.late ?? 0));
  const [polls, changes] = [sum(byProvider, "polls"), sum(byProvider, "changes")];
  const shown = [
    { name: "open", label: "watches open", value: status.open, text: number(status.open) },
    { name: "polls", label: "polls a second", value: polls, text: rate(polls) },
    { name: "changes", label: "changes a second", value: changes, text: rate(changes) },
    { name: "late", label: "polls are late by", value: late, text: lateness(late) },
    { name: "waiting", label: "deliveries wait", value: status.waiting, text: number(status.waiting) },
    { name: "rejected", label: "requests were refused", value: status.rejected, text: number(status.rejected) },
  ];
  for (const { name, value } of shown) {
    if (value !== null) series[name].push(value);
    if (series[name].length > MOST) series[name].shift();
  }
  list(at("tiles"), shown, { key: (one) => one.name, make: tile });
}

function sum(byProvider, key) {
  const known = [...byProvider.values()].map((one) => one[key]).filter((value) => value !== null);
  return known.length ? known.reduce((one, other) => one + other) : null;
}

function tile() {
  const [value, label, [drawing, draw]] = [el("b"), el("span"), plot()];
  return Object.assign(el("li", null, value, label, drawing), {
    update(one) {
      say(value, one.text);
      say(label, one.label);
      draw(series[one.name]);
    },
  });
}

function plot() {
  const [line, area] = [svg("polyline", { class: "stroke" }), svg("polygon", { class: "area" })];
  const drawing = svg("svg", { class: "plot", preserveAspectRatio: "none", "aria-hidden": "true" }, area, line);
  function draw(values) {
    const top = Math.max(...values, 0) || 1;
    const [first, last] = [Math.max(FEWEST - values.length, 0), Math.max(FEWEST, values.length) - 1];
    const points = values.map((value, place) => `${first + place},${(97 - (value / top) * 92).toFixed(1)}`).join(" ");
    drawing.setAttribute("viewBox", `0 0 ${last} 100`);
    line.setAttribute("points", points);
    area.setAttribute("points", points && `${first},100 ${points} ${last},100`);
  }
  return [drawing, draw];
}
