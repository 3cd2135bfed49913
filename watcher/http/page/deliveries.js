// The delivery of an event to one webhook, and its failed attempts once somebody wants to see them.

import { ask } from "./api.js";
import { el, put, quote, say, state } from "./dom.js";
import { many, span, when } from "./words.js";

const HELD = {
  no_section: "its webhook has no section",
  disabled: "its webhook is disabled",
  breaker_open: "the breaker is open",
  paused: "its webhook is paused",
  order: "behind an earlier one",
};

export function delivery() {
  const [how, attempts] = [el("span"), el("ol", { class: "attempts" })];
  const more = el("details", { toggle: () => more.open && load(shown, attempts) }, el("summary"), attempts);
  let shown = null;
  return Object.assign(el("li", null, how, more), {
    update(one) {
      if (JSON.stringify(one) === JSON.stringify(shown)) return;
      shown = one;
      put(how, quote(one.webhook, 60), " ", state(one.status), last(one), one.status === "waiting" && next(one));
      more.hidden = one.attempts === 0 || (one.status === "delivered" && one.attempts === 1);
      say(more.firstChild, many(one.attempts, "attempt", "attempts"));
      if (more.open) load(one, attempts);
    },
  });
}

function last({ last_at, last_status, last_error, duration }) {
  if (last_at === null) return "";
  const answer = last_error === null ? `HTTP ${last_status}` : quote(last_error);
  return [", ", answer, duration !== null && ` in ${span(duration)}`, ", ", when(last_at)];
}

function next({ due_at, held, held_until }) {
  if (held === null) return [", next ", when(due_at)];
  return [`, ${HELD[held]}`, held_until !== null && [", until ", when(held_until)]];
}

async function load({ event_id, webhook }, into) {
  try {
    const query = new URLSearchParams({ event: event_id, webhook });
    const { deliveries } = await ask(`v1/deliveries?${query}`);
    const failed = deliveries[0]?.failed ?? [];
    put(into, failed.length ? failed.map(attempt) : el("li", { class: "quiet" }, "No attempt of it failed."));
  } catch {
    put(into, el("li", null, "The daemon does not answer."));
  }
}

function attempt({ number, at, duration, status, error, address, headers, body }) {
  const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join("\n");
  const came = [head, body].filter(Boolean).join("\n\n");
  const label = `What came back at attempt ${number}`;
  return el("li", { value: number },
    when(at), " ", error === null ? `HTTP ${status}` : quote(error), ` in ${span(duration)}`,
    address !== null && ` from ${address}`,
    came && el("pre", { tabindex: "0", role: "region", "aria-label": label }, came));
}
