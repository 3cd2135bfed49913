// Making nodes. Text is only ever text: nothing on this page reads markup out of a value.

const SVG = "http://www.w3.org/2000/svg";

export const at = (id) => document.getElementById(id);

export const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);

export const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);

// An attribute that is a function listens to the event of its name.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (is(value)) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...flat(children));
  return node;
}

// Gives a node other children.
export const put = (node, ...children) => node.replaceChildren(...flat(children));

// Gives a description list its terms: each is a list of the term and what is said of it.
export function describe(node, terms) {
  put(node, terms.filter(is).map(([term, ...said]) =>
    el("div", null, el("dt", null, term), " ", el("dd", null, said))));
}

const is = (value) => value !== null && value !== undefined && value !== false;
const flat = (children) => children.flat(Infinity).filter(is);

// Says something anew only if it changed, for which those who listen are grateful.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// One node for each item, kept over updates, so that focus and what was opened stay where they are.
export function list(parent, items, { key, make }) {
  const old = new Map([...parent.children].map((node) => [node.key, node]));
  items.forEach((item, place) => {
    const name = key(item);
    const node = old.get(name) ?? Object.assign(make(item), { key: name });
    old.delete(name);
    node.update?.(item);
    if (parent.children[place] !== node) parent.insertBefore(node, parent.children[place] ?? null);
  });
  for (const node of old.values()) node.remove();
}

// What somebody else wrote: on its own in a line of ours, whichever way it is read, and no longer than there is room.
export function quote(text, most = 120) {
  const whole = String(text);
  if (whole.length <= most) return el("bdi", null, whole);
  return el("bdi", { title: whole.slice(0, 2000) }, `${whole.slice(0, most - 1)}…`);
}

// What is only listened to: whoever looks sees it from the place.
export const unseen = (text) => el("span", { class: "unseen" }, text);

// A sentence of ours, in which what one types stands between backticks.
export const code = (text) => text.split("`").map((part, place) => (place % 2 ? el("code", null, part) : part));

const ALIKE = {
  ...{ down: "wrong", trouble: "wrong", breaker_open: "wrong", failing: "wrong" },
  ...{ no_section: "gone", disabled: "paused", delivered: "succeeded", exhausted: "failed" },
};
const CIRCLE = "M6 1.5a4.5 4.5 0 1 0 .01 0Z";
const SHAPES = {
  ok: "M2.5 6.5 5 9l4.5-6",
  wrong: "M6 1.5 11 10.5H1ZM6 4.7v2.6M6 8.6v.6",
  paused: "M4 2.5v7M8 2.5v7",
  waiting: `${CIRCLE}M6 3.5V6l1.8 1.2`,
  pending: CIRCLE,
  in_progress: `${CIRCLE}M6 1.5v9`,
  succeeded: `${CIRCLE}M3.8 6l1.6 1.7L8.3 4.5`,
  partially_succeeded: `${CIRCLE}M3.5 6h5`,
  failed: "M2.5 2.5l7 7M9.5 2.5l-7 7",
  expired: "M3 2h6L6 6l3 4H3l3-4Z",
  gone: `${CIRCLE}M2.9 9.1l6.2-6.2`,
  cancelled: "M2.5 2.5h7v7h-7Z",
};

// A shape for a word, which always stands beside it: colour alone says nothing.
export function icon(word) {
  const shape = ALIKE[word] ?? word;
  const path = svg("path", { d: SHAPES[shape] ?? SHAPES.pending });
  return svg("svg", { class: `icon ${shape}`, viewBox: "0 0 12 12", "aria-hidden": "true" }, path);
}

export function state(word, text = plain(word)) {
  return el("span", { class: `state ${ALIKE[word] ?? word}` }, icon(word), text);
}

export const plain = (word) => String(word).replaceAll("_", " ");
