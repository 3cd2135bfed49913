// Providers: whether they answer, how late and how busy their polls are, and what is watched there.

import { at, el, icon, list, plain, put, say, state, unseen } from "./dom.js";
import { lateness, number, rate, when } from "./words.js";

const ORDER = [
  ...["pending", "in_progress", "trouble", "succeeded", "partially_succeeded"],
  ...["failed", "expired", "gone", "cancelled"],
];

// `search` finds the watches of a state at a provider.
export function showProviders({ providers }, byProvider, search) {
  const shown = providers.map((one) => ({ ...one, ...byProvider.get(one.name), all: one.polls }));
  list(at("providers"), shown, { key: (one) => one.name, make: () => card(search) });
}

function card(search) {
  const [name, how, pace, states] = ["h3", "p", "p", "ul"].map((tag) => el(tag));
  [how.className, pace.className, states.className] = ["how", "quiet", "states"];
  return Object.assign(el("li", null, name, how, pace, states), {
    update(one) {
      say(name, one.name);
      put(how, state(one.state), why(one));
      say(pace, paceOf(one));
      const counts = { ...one.watches, trouble: one.trouble };
      const kinds = ORDER.filter((word) => counts[word]).map((word) => ({ word, number: counts[word] }));
      list(states, kinds, { key: (kind) => kind.word, make: ({ word }) => counted(word, one.name, search) });
    },
  });
}

function why({ reason, since, until }) {
  if (reason !== null) return [`: ${plain(reason)}, since `, when(since)];
  return until !== null && [" until ", when(until)];
}

function paceOf({ late, polls, changes, all, watches }) {
  if (all === 0 && Object.keys(watches).length === 0) return "nothing was watched yet";
  const pace = `${rate(polls)} polls/s · ${rate(changes)} changes/s`;
  return late === null ? pace : `late by ${lateness(late)} · ${pace}`;
}

function counted(word, provider, search) {
  const [figure, label] = [el("b"), word === "trouble" ? "in trouble" : plain(word)];
  const find = () => search({ state: word, provider });
  const shown = [icon(word), figure, ` ${label}`, unseen(` at ${provider}`)];
  const button = el("button", { type: "button", class: `count ${word}`, click: find }, shown);
  return Object.assign(el("li", null, button), { update: (kind) => say(figure, number(kind.number)) });
}
