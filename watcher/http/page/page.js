// The page: asks how things stand, often while somebody looks and else for its title, and says where nobody answers.

import { ask, Refused, token } from "./api.js";
import { at, put, say, state } from "./dom.js";
import { Events } from "./events.js";
import { Find } from "./find.js";
import { count, rates } from "./numbers.js";
import { showProviders } from "./providers.js";
import { doubt, judge } from "./verdict.js";
import { Watch } from "./watch.js";
import { showWebhooks } from "./webhooks.js";
import { clock, when } from "./words.js";

const EVERY = 2000; // milliseconds
const UNSEEN = 30_000;
const OLD = 15_000;
const needsToken = document.documentElement.dataset.token === "needed";

const [find, watch] = [new Find(), new Watch()];
const events = new Events((news) => watch.happened(news));
let answeredAt = null;
let timer;

async function look() {
  clearTimeout(timer);
  try {
    show(await ask("v1/status"));
    answeredAt = Date.now();
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return refuse();
    lose(error);
  }
  timer = setTimeout(look, document.hidden ? UNSEEN : EVERY);
}

function show(status) {
  const byProvider = rates(status);
  const isOld = Date.parse(status.at) - Date.parse(status.counted_at) > OLD;
  document.body.classList.remove("lost");
  put(at("link"), state("ok", "live"), isOld && [", counted ", when(status.counted_at)]);
  if (at("version").textContent && at("version").textContent !== status.version) location.reload(); // with its page
  say(at("version"), status.version);
  judge(status);
  if (document.hidden) return;
  count(status, byProvider);
  showProviders(status, byProvider, (wanted) => find.search(wanted));
  showWebhooks(status);
  find.know(status);
  watch.tick();
  events.start(status.cursor);
}

function lose(error) {
  const why = error instanceof Refused ? `The daemon says only “${error.message}”.` : "The daemon does not answer.";
  document.body.classList.add("lost");
  put(at("link"), state("wrong", "no answer"));
  doubt(why, answeredAt === null ? "" : ` What is shown is from ${clock(answeredAt)}.`);
}

// --- who may look ----------------------------------------------------------------------------------------------

function refuse() {
  token.forget();
  if (answeredAt !== null) location.reload(); // and nothing that was shown stays in the page
  lock("This token is not the right one.");
}

function lock(why) {
  at("inside").hidden = at("forget").hidden = true;
  at("door").hidden = false;
  say(at("token-wrong"), why);
  at("token").focus();
}

function open() {
  at("door").hidden = true;
  at("inside").hidden = false;
  at("forget").hidden = !needsToken;
  look();
  watch.turn();
}

at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set(at("token").value.trim());
  at("token").value = "";
  open();
});

at("forget").addEventListener("click", () => {
  token.forget();
  location.reload();
});

document.addEventListener("visibilitychange", () => {
  if (at("inside").hidden) return;
  if (document.hidden) events.stop();
  look();
});

addEventListener("online", () => at("inside").hidden || look());

if (needsToken && !token.get()) lock("");
else open();
