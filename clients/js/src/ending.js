/**
 * The end of the process: what was counted is sent, or on disk for the next process, and signals do what they always
 * did. Only SIGKILL loses what was counted since the last flush.
 */

import { guarded } from "./tell.js";

const PATIENCE_MS = 3000;
const SIGNALS = ["SIGTERM", "SIGINT"];
/** @type {Set<import("./client.js").Client>} */
const clients = new Set();
let watching = false;

/**
 * Take care of a client when the process ends.
 * @param {import("./client.js").Client} client
 */
export function watch(client) {
  clients.add(client);
  if (watching) return;
  watching = true;
  process.on("beforeExit", onIdle);
  process.on("exit", saveAll);
  // First in line and gone when called: every other listener finds the signal as if we did not exist.
  for (const signal of SIGNALS) process.prependOnceListener(signal, onSignal);
}

/**
 * Forget a client that was closed.
 * @param {import("./client.js").Client} client
 */
export function release(client) {
  clients.delete(client);
  if (clients.size) return;
  watching = false;
  process.off("beforeExit", onIdle);
  process.off("exit", saveAll);
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

/** Nothing is left to do but this; called again once it is done. */
function onIdle() {
  for (const client of clients) if (client.laden) void client.flush();
}

function saveAll() {
  for (const client of clients) guarded("saving", () => client.save());
}

/** To the disk first, for the worst case; then to the server; then what the signal does without us. */
async function onSignal(signal) {
  saveAll();
  const others = process.listenerCount(signal) > 0;
  const flushed = Promise.all([...clients].map((client) => client.flush()));
  if (others) return; // the application ends itself, as it always did
  await Promise.race([flushed, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
  saveAll();
  process.kill(process.pid, signal);
}
