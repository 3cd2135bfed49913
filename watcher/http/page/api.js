// Asking the daemon, and following what happens there. With a token, which lives in this tab alone.

const KEY = "watcher.token";
const PATIENCE = 10_000; // milliseconds

export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

// The daemon answers, and will not do it.
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

// Throws Refused, or anything else where there is no answer.
export async function ask(path, { method = "GET", body } = {}) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const content = body === undefined ? undefined : JSON.stringify(body);
  const answer = await send(path, { method, headers, body: content, signal: AbortSignal.timeout(PATIENCE) });
  return answer.json();
}

// Yields lists of events. EventSource cannot send a token, so the stream is read by hand: blocks of lines.
export async function* stream(after, signal) {
  const answer = await send(`v1/events/stream?after=${after}`, { headers: { Accept: "text/event-stream" }, signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    yield blocks.map(event).filter(Boolean);
  }
}

async function send(path, options) {
  const known = token.get();
  const headers = { ...options.headers, ...(known ? { Authorization: `Bearer ${known}` } : {}) };
  const answer = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit", redirect: "error" });
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, problem.detail ?? `HTTP ${answer.status}`);
}

function event(block) {
  const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/)));
  return fields.data ? { cursor: Number(fields.id), ...JSON.parse(fields.data) } : null;
}
