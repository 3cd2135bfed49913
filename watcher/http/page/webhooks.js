// Webhooks: whether they are sent to, what waits for them, and what an operator can do about it.

import { act, sure } from "./act.js";
import { at, describe, el, list, put, quote, say, state, unseen } from "./dom.js";
import { many, number, when } from "./words.js";

const RESUME = { disabled: "Enable", paused: "End the pause", breaker_open: "Try now" };

export function showWebhooks({ webhooks }) {
  list(at("webhooks"), webhooks, { key: (one) => one.name, make: card });
  say(at("webhooks-note"), webhooks.length ? "" : "There is none.");
}

function card() {
  const [name, how, url, facts, doing] = ["h3", "p", "p", "dl", "p"].map((tag) => el(tag));
  [how.className, url.className, facts.className, doing.className] = ["how", "quiet url", "facts", "doing"];
  return Object.assign(el("li", null, name, how, url, facts, doing), {
    update(one) {
      put(name, quote(one.name, 80));
      put(how, state(one.state), since(one));
      say(url, one.url ?? "");
      describe(facts, factsOf(one));
      list(doing, actions(one), { key: (action) => action.label, make: button });
    },
  });
}

function since({ state: word, since: moment, until, why }) {
  const next = word === "paused" ? ", until " : ", next probe ";
  return moment && [" since ", when(moment), until && [next, when(until)], why && `: ${why}`];
}

function factsOf({ waiting, oldest_waiting, exhausted, last_good_at, last_error }) {
  return [
    ["waiting", number(waiting)],
    oldest_waiting && ["oldest", when(oldest_waiting)],
    exhausted > 0 && ["given up", number(exhausted)],
    ["last taken", when(last_good_at)],
    last_error && ["last error", quote(last_error.error ?? `HTTP ${last_error.status}`), ", ", when(last_error.at)],
  ];
}

function actions({ name, state: word, exhausted, url }) {
  const path = `v1/webhooks/${encodeURIComponent(name)}`;
  const resume = { label: RESUME[word], path: `${path}/enable`, body: {}, done: `${name} is enabled within a second.` };
  const disable = {
    label: "Disable",
    kind: "small",
    path: `${path}/disable`,
    body: {},
    question: `Disable webhook ${name}? What is for it waits until it is enabled.`,
    done: `${name} is disabled within a second.`,
  };
  const again = {
    label: "Send again what was given up",
    path: "v1/deliveries/replay",
    body: { webhook: name, since: "365d", status: "exhausted" },
    question: `Send ${many(exhausted, "delivery", "deliveries")} to ${name} again, with the same ids?`,
    done: "They are sent again, 100 a second.",
  };
  const canDisable = word !== "disabled" && word !== "no_section";
  const all = [RESUME[word] && resume, canDisable && disable, exhausted > 0 && url !== null && again];
  return all.filter(Boolean).map((action) => ({ ...action, name }));
}

function button(first) {
  let action = first;
  async function click() {
    const { label, path, body, question, done } = action;
    if (!question || (await sure(question, label))) await act(path, { method: "POST", body }, done);
  }
  const shown = [first.label, unseen(` (webhook ${first.name})`)];
  return Object.assign(el("button", { type: "button", class: first.kind, click }, shown), {
    update(next) {
      action = next;
    },
  });
}
