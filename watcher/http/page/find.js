// Finding watches: one by its id, or those of a label, a state, a provider.

import { ask, Refused } from "./api.js";
import { at, el, list, put, quote, say, state } from "./dom.js";
import { address, link } from "./events.js";
import { many, when } from "./words.js";

const PAGE = 20;

export class Find {
  constructor() {
    at("find").addEventListener("submit", (event) => {
      event.preventDefault();
      this.look();
    });
    at("found-more").addEventListener("click", () => this.page());
  }

  // Knows the names of providers.
  know({ providers }) {
    const names = ["", ...providers.map((one) => one.name)];
    const make = (name) => el("option", { value: name }, name || "any");
    list(at("find-provider"), names, { key: (name) => name, make });
  }

  search({ state: word, provider }) {
    [at("find-text").value, at("find-state").value, at("find-provider").value] = ["", word, provider];
    at("find-title").scrollIntoView({ block: "nearest" });
    this.look();
  }

  async look() {
    const text = at("find-text").value.trim();
    [this.rows, this.after, this.label] = [[], 0, text];
    this.show(null);
    if (text && (await asked(`v1/watches/${encodeURIComponent(text)}`))) {
      location.hash = address(text);
    } else if (!text || text.includes("=")) {
      await this.page();
    }
  }

  async page() {
    const [word, provider] = [at("find-state").value, at("find-provider").value];
    const wanted = { state: word, provider, label: this.label, after: this.after, limit: PAGE };
    const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value !== ""));
    const found = await asked(`v1/watches?${query}`);
    if (found === null) return;
    this.rows.push(...found.watches);
    this.after = found.next;
    const number = `${found.next === null ? "" : "The first "}${many(this.rows.length, "watch", "watches")}`;
    say(at("found-note"), this.rows.length ? `${number}, oldest first` : "There is no such watch.");
    this.show(found.next);
  }

  show(next) {
    at("found-more").hidden = next === null;
    put(at("found"), this.rows.map(row));
  }
}

// Asks, and says so where there is no answer.
async function asked(path) {
  say(at("found-note"), "Looking…");
  try {
    const answer = await ask(path);
    say(at("found-note"), "");
    return answer;
  } catch (error) {
    say(at("found-note"), error instanceof Refused ? error.message : "The daemon does not answer.");
    return null;
  }
}

function row(watch) {
  const word = state(watch.outcome ?? watch.state ?? "pending");
  const changed = when(watch.changed_at ?? watch.accepted_at);
  const where = el("span", { class: "quiet" }, quote(watch.provider, 40), " · ", changed);
  return el("li", null, link(watch.id), " ", word, watch.trouble && [" ", state("trouble")], " ", where);
}
