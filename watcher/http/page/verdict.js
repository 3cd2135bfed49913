// The first sentence: whether all is well, and if not, what is wrong and what to do.

import { at, code, el, icon, put, quote, say } from "./dom.js";
import { many, whenabouts } from "./words.js";

const WHERE_TO_LOOK = "`systemctl status watcher` says whether it runs, `journalctl -u watcher` why not.";

let shown = "";

export function judge(status) {
  const { is_well: isWell, concerns, hints } = status;
  const written = JSON.stringify(isWell ? [status.open, status.waiting, hints] : [concerns, hints]);
  if (written !== shown) {
    put(at("headline"), icon(isWell ? "ok" : "wrong"), isWell ? well(status) : ill(concerns));
    put(at("concerns"), concerns.length > 1 ? concerns.map(item) : concerns.map(remedy));
    put(at("hints"), hints.map((hint) => el("li", null, code(hint), ".")));
    shown = written;
  }
  at("verdict").classList.toggle("ill", !isWell);
  document.title = isWell ? "watcher: all is well" : `watcher: not well (${concerns.length})`;
  say(at("told"), isWell ? "All is well." : `Not well: ${concerns.map(inShort).join("; ")}.`);
}

// What is said where the daemon does not say it.
export function doubt(...sentences) {
  shown = "";
  put(at("headline"), icon("wrong"), sentences);
  put(at("concerns"), el("li", null, code(WHERE_TO_LOOK)));
  put(at("hints"));
  at("verdict").classList.add("ill");
  document.title = "watcher: no answer";
  say(at("told"), sentences[0]);
}

function well({ open, waiting }) {
  const way = waiting ? `${many(waiting, "delivery is", "deliveries are")} on the way` : "nothing waits";
  return `All is well: ${many(open, "watch", "watches")} open, ${way}.`;
}

function ill(concerns) {
  if (concerns.length > 1) return el("strong", null, `${concerns.length} things are not well`);
  return [el("strong", null, "Not well:"), " ", sentence(concerns[0]), "."];
}

const item = (concern) => el("li", null, icon("wrong"), sentence(concern), ". ", advice(concern));

const remedy = (concern) => concern.remedy && el("li", null, advice(concern));

const advice = ({ remedy: what }) => what && el("span", { class: "remedy" }, code(what), ".");

function sentence({ about, name, text, since, until, so }) {
  const subject = name === null ? `the ${about}` : [`${about} `, quote(name, 60)];
  const comma = text.includes(",") ? "," : "";
  return [
    subject, ` ${text}`, since && [`${comma} since `, whenabouts(since)], until && [", until ", whenabouts(until)],
    so && `; ${so}`,
  ];
}

// Without its numbers, which change all the while: whoever listens is told of what is new.
function inShort({ about, name, text }) {
  return `${name === null ? `the ${about}` : `${about} ${name}`} ${text.replace(/\d[\d,]*/g, "some")}`;
}
