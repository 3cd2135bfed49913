// The first sentence: whether all is well, and if not, what is wrong.

import { at, el, icon, put, quote, say } from "./dom.js";
import { many, whenabouts } from "./words.js";

let shown = "";

export function judge(status) {
  const written = JSON.stringify(status.is_well ? [status.open, status.waiting] : status.concerns);
  if (written !== shown) {
    put(at("headline"), icon(status.is_well ? "ok" : "wrong"), status.is_well ? well(status) : ill(status.concerns));
    put(at("concerns"), status.concerns.slice(1).map(item));
    shown = written;
  }
  at("verdict").classList.toggle("ill", !status.is_well);
  document.title = status.is_well ? "watcher: all is well" : `watcher: not well (${status.concerns.length})`;
  say(at("told"), status.is_well ? "All is well." : `Not well: ${status.concerns.map(inShort).join("; ")}.`);
}

// What is said where the daemon does not say it.
export function doubt(...sentences) {
  shown = "";
  put(at("headline"), icon("wrong"), sentences);
  put(at("concerns"));
  at("verdict").classList.add("ill");
  document.title = "watcher: no answer";
  say(at("told"), sentences[0]);
}

function well({ open, waiting }) {
  const way = waiting ? `${many(waiting, "delivery is", "deliveries are")} on the way` : "nothing waits";
  return `All is well: ${many(open, "watch", "watches")} open, ${way}.`;
}

function ill([first, ...others]) {
  const rest = `And ${many(others.length, "other thing is", "other things are")} not well:`;
  return [el("strong", null, "Not well:"), " ", sentence(first), ". ", others.length > 0 && el("small", null, rest)];
}

const item = (concern) => el("li", null, icon("wrong"), sentence(concern));

function sentence({ about, name, text, since, so }) {
  const subject = name === null ? `the ${about}` : [`${about} `, quote(name, 60)];
  return [subject, ` ${text}`, since && [" since ", whenabouts(since)], so && `; ${so}`];
}

// Without its numbers, which change all the while: whoever listens is told of what is new.
function inShort({ about, name, text }) {
  return `${name === null ? `the ${about}` : `${about} ${name}`} ${text.replace(/\d[\d,]*/g, "some")}`;
}
