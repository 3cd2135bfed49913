// Doing something at the daemon: asking whether it is meant, and saying what came of it.

import { ask, Refused } from "./api.js";
import { at, say } from "./dom.js";

const SHOWN = 15_000; // milliseconds

let settle = () => {};
let fading;

// Resolves to true where it is meant; Escape means no.
export function sure(question, yes) {
  settle(false);
  say(at("sure-text"), question);
  say(at("sure-yes"), yes);
  at("sure").showModal();
  at("sure-no").focus();
  return new Promise((resolve) => { settle = resolve; });
}

export async function act(path, options, done) {
  tell("Asking the daemon…");
  try {
    await ask(path, options);
    tell(done);
  } catch (error) {
    tell(error instanceof Refused ? `Not done: ${error.message}` : "Not done: the daemon does not answer.");
  }
}

function tell(text) {
  say(at("answer"), text);
  clearTimeout(fading);
  fading = setTimeout(() => say(at("answer"), ""), SHOWN);
}

function close(isMeant) {
  settle(isMeant);
  at("sure").close();
}

at("sure-yes").addEventListener("click", () => close(true));
at("sure-no").addEventListener("click", () => close(false));
at("sure").addEventListener("close", () => at("sure").open || settle(false)); // told late: it may be open again
