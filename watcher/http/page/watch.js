// One watch as a whole: what is known, its timeline, its events with their deliveries.

import { act, sure } from "./act.js";
import { ask, Refused } from "./api.js";
import { delivery } from "./deliveries.js";
import { at, describe, el, list, plain, put, quote, say, state } from "./dom.js";
import { what } from "./events.js";
import { timeline } from "./timeline.js";
import { number, when } from "./words.js";

const SOON = 300; // milliseconds
const SELDOM = 10_000; // to say when one watch is asked next, the daemon looks through all of them

export class Watch {
  constructor() {
    this.draw = timeline(at("timeline"));
    this.id = null;
    at("watch-cancel").addEventListener("click", () => this.cancel());
    addEventListener("hashchange", () => this.turn());
  }

  // Shows the watch that the address names, if it names one.
  turn() {
    const id = named(location.hash);
    at("watch").hidden = id === null;
    if (id === this.id) return;
    [this.id, this.watch, this.next, this.askedAt] = [id, null, null, -SELDOM];
    if (id === null) return;
    put(at("watch-title"), "Watch ", quote(id, 80));
    put(at("watch-facts"));
    put(at("watch-events"));
    at("timeline").hidden = at("watch-cancel").hidden = true;
    at("watch-title").focus();
    this.refresh();
  }

  happened(events) {
    if (this.id !== null && events.some(({ data }) => data.watch === this.id)) this.soon();
  }

  // Time goes on, and deliveries end without an event.
  tick() {
    if (!this.watch) return;
    if (this.watch.deliveries.some((one) => one.status === "waiting")) this.soon();
    if (this.watch.finished_at === null) this.draw(this.watch);
  }

  soon() {
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      this.refresh();
    }, SOON);
  }

  async refresh() {
    const id = this.id;
    if (id === null) return;
    try {
      const watch = await ask(path(id));
      const next = watch.finished_at === null ? await this.outlook(id) : null;
      if (id === this.id) this.show(watch, next);
    } catch (error) {
      if (id === this.id && error instanceof Refused) describe(at("watch-facts"), [["not shown", error.message]]);
    }
  }

  async outlook(id) {
    if (performance.now() - this.askedAt >= SELDOM) {
      this.askedAt = performance.now();
      this.next = await ask(`${path(id)}/next`);
    }
    return this.next;
  }

  show(watch, next) {
    this.watch = watch;
    at("timeline").hidden = false;
    at("watch-cancel").hidden = watch.finished_at !== null;
    describe(at("watch-facts"), [...factsOf(watch), ...(next ? factsAhead(next) : [])]);
    this.draw(watch);
    const [shown, all] = [watch.events.length, watch.sequence];
    say(at("watch-told"), shown < all ? `The first ${number(shown)} of ${number(all)} events` : "");
    const sent = Map.groupBy(watch.deliveries, (one) => one.event_id);
    const events = watch.events.map((event) => ({ ...event, deliveries: sent.get(event.id) ?? [] }));
    list(at("watch-events"), events, { key: (event) => event.id, make: entry });
  }

  async cancel() {
    const id = this.id;
    const isMeant = await sure(`End watch ${id}? Its webhooks are told that it is cancelled.`, "Cancel watch");
    if (isMeant) await act(path(id), { method: "DELETE" }, `${id} is cancelled within a second.`);
  }
}

const path = (id) => `v1/watches/${encodeURIComponent(id)}`;

function named(hash) {
  try {
    return hash.startsWith("#watch=") ? decodeURIComponent(hash.slice(7)) : null;
  } catch {
    return null; // no address of ours
  }
}

function factsOf(watch) {
  const { state: word, outcome, trouble, status, progress, callback_url: callback, finished_at: end } = watch;
  const written = (value) => quote(typeof value === "string" ? value : JSON.stringify(value));
  return [
    ["state", state(outcome ?? word ?? "pending"), trouble && [" ", state("trouble"), `: ${plain(trouble)}`]],
    status !== null && ["status", quote(status)],
    progress !== null && ["progress", `${progress} %`],
    ["provider", quote(watch.provider)],
    ...Object.entries(watch.params).map(([key, value]) => [quote(key, 40), written(value)]),
    ...Object.entries(watch.labels).map(([key, value]) => [["label ", quote(key, 40)], quote(value)]),
    callback !== null && ["callback", quote(callback)],
    ["accepted", when(watch.accepted_at)],
    end === null ? ["deadline", when(watch.deadline_at)] : ["finished", when(end)],
  ];
}

function factsAhead({ in_flight, due_at, ahead, paused_until, last_answer: last }) {
  const due = due_at && ["next poll", when(due_at), ahead > 0 && `, after ${number(ahead)} others`];
  return [
    in_flight ? ["next poll", "now"] : due,
    paused_until && ["provider paused until", when(paused_until)],
    last && ["last answer", when(last.at), ` ${last.outcome}`, last.http_status && `, HTTP ${last.http_status}`,
      last.detail && [", ", quote(last.detail)]],
  ];
}

function entry({ id, timestamp, type, data }) {
  const { sequence } = data;
  const told = el("div", { class: "event" },
    el("span", { class: "sequence" }, String(sequence)), when(timestamp), " ", what({ type, data }));
  const sent = el("ul", { class: "deliveries" });
  const again = () => act("v1/deliveries/replay", { method: "POST", body: { event: [id] } },
    `Event ${sequence} is sent again, with the same id.`);
  const label = `Send event ${sequence} again`;
  const button = el("button", { type: "button", class: "small", "aria-label": label, click: again }, "Send again");
  return Object.assign(el("li", null, told, sent, button), {
    update: (event) => list(sent, event.deliveries, { key: (one) => one.id, make: delivery }),
  });
}
