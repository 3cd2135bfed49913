// What happens, as it happens: the newest events on top, as many as one can look through.

import { stream } from "./api.js";
import { at, el, plain, quote, say, state } from "./dom.js";
import { many, when } from "./words.js";

const KEPT = 100;
const BEFORE = 30; // events from before the page was opened
const [REST, LONGEST_REST] = [1000, 10_000]; // milliseconds

export class Events {
  // `happened` is called with all that come.
  constructor(happened) {
    this.happened = happened;
    this.cursor = null;
    this.held = [];
    this.isHeld = false;
    at("hold").addEventListener("click", () => this.hold(!this.isHeld));
  }

  // Follows, from where it was if that is not long before the newest.
  start(newest) {
    if (this.ending) return;
    if (this.cursor === null || newest - this.cursor > KEPT) this.cursor = Math.max(0, newest - BEFORE);
    this.ending = new AbortController();
    this.follow(this.ending.signal);
  }

  stop() {
    this.ending?.abort();
    this.ending = null;
  }

  async follow(signal) {
    for (let rest = REST; !signal.aborted; rest = Math.min(rest * 2, LONGEST_REST)) {
      try {
        for await (const events of stream(this.cursor, signal)) {
          rest = REST;
          if (events.length) this.take(events);
        }
      } catch {
        // It broke off or could not be had. Whether the daemon answers at all is said elsewhere.
      }
      await new Promise((resolve) => setTimeout(resolve, rest));
    }
  }

  take(events) {
    this.cursor = events.at(-1).cursor;
    this.held = [...this.held, ...events].slice(-KEPT);
    if (!this.isHeld) this.show();
    this.note();
    this.happened(events);
  }

  hold(isHeld) {
    this.isHeld = isHeld;
    at("hold").setAttribute("aria-pressed", String(isHeld));
    if (!isHeld) this.show();
    this.note();
  }

  show() {
    const shown = at("events");
    shown.prepend(...this.held.splice(0).reverse().map(line));
    while (shown.children.length > KEPT) shown.lastChild.remove();
  }

  note() {
    const number = `${this.held.length === KEPT ? "at least " : ""}${many(this.held.length, "event", "events")}`;
    say(at("events-note"), this.isHeld ? `Held: ${number} since.` : "");
  }
}

function line({ type, timestamp, data }) {
  const whose = data.watch === null ? quote(data.provider, 60) : link(data.watch);
  return el("li", null, when(timestamp), " ", whose, " ", what({ type, data }));
}

export const address = (id) => `#watch=${encodeURIComponent(id)}`;

export const link = (id) => el("a", { href: address(id) }, quote(id, 60));

// An event in a few words.
export function what({ type, data }) {
  switch (type) {
    case "message.status.changed":
      return [quote(data.message, 40), " ", change(data)];
    case "watch.status.changed":
      return change(data);
    case "watch.progress.changed":
      return data.from === null ? `${data.to} %` : `${data.from} % → ${data.to} %`;
    case "watch.trouble":
      return state("trouble", `trouble: ${plain(data.reason)}${data.http_status ? `, HTTP ${data.http_status}` : ""}`);
    case "watch.recovered":
      return state("ok", `recovered from ${plain(data.reason)}`);
    case "watch.finished":
      return [state(data.outcome, `finished: ${plain(data.outcome)}`), data.reason && [", ", quote(data.reason, 60)]];
    case "provider.down":
      return state("down", `the provider is down: ${plain(data.reason)}`);
    case "provider.up":
      return state("ok", "the provider is up again");
    default:
      return quote(type);
  }
}

function change({ from, to, to_state: word }) {
  return [from !== null && [quote(from, 40), " → "], state(word, quote(to, 40))];
}
