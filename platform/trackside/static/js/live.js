// Keeps `[data-live]` parts fresh: told by server-sent events where there is a stream, else by asking every few seconds.
// Says honestly how it stands in `[data-live-state]`; rests while the tab is hidden.
import { morph } from "./morph.js";

const WORDS = { live: "Live", lost: "Reconnecting", paused: "Paused", ended: "Signed out: load the page again" };
const SOONEST = 1000; // a stream that says much is heard at most once a second
const RETRIES = [2000, 4000, 8000, 15000];

class Live {
  constructor(root) {
    this.root = root;
    this.failures = 0;
    this.streamFailures = 0;
    this.last = 0;
    this.resume();
  }

  resume() {
    if (document.hidden || this.ended) return;
    this.listen();
    this.plan(0);
  }

  pause() {
    clearTimeout(this.timer);
    clearTimeout(this.again);
    this.source?.close();
    this.source = null;
    this.say("paused");
  }

  end() {
    this.pause();
    this.ended = true;
    this.say("ended");
  }

  /** Ask after `wait` ms, or when the next poll is due. */
  plan(wait) {
    clearTimeout(this.timer);
    const every = Number(this.root.dataset.every) * 1000;
    const quiet = this.source?.readyState === EventSource.OPEN ? Math.max(every * 5, 10000) : every; // a net below the stream
    const due = wait ?? (this.failures ? RETRIES[Math.min(this.failures, RETRIES.length) - 1] : quiet);
    this.timer = setTimeout(() => this.ask(), due);
  }

  async ask() {
    if (document.hidden || !this.root.isConnected) return;
    this.last = performance.now();
    try {
      const answer = await fetch(this.root.dataset.live, { headers: { "HX-Request": "true" }, signal: AbortSignal.timeout(10000) });
      if (answer.status === 401 || answer.redirected) return this.end();
      if (!answer.ok) throw new Error(`${answer.status}`);
      this.show(await answer.text());
      this.failures = 0;
      this.say("live");
    } catch {
      this.failures += 1;
      this.say("lost");
    }
    this.plan();
  }

  show(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const fresh = page.getElementById(this.root.id);
    if (!fresh) throw new Error("the answer lacks this part");
    morph(this.root, fresh);
    this.root.dispatchEvent(new CustomEvent("trackside:swapped", { bubbles: true }));
  }

  listen() {
    const url = this.root.dataset.stream;
    if (!url || this.source) return;
    this.source = new EventSource(url);
    const hear = () => this.plan(Math.max(0, this.last + SOONEST - performance.now()));
    for (const name of ["message", "change"]) this.source.addEventListener(name, hear);
    this.source.addEventListener("open", () => { this.streamFailures = 0; });
    this.source.addEventListener("error", () => this.lose());
  }

  /** The ticket in a stream's URL is short-lived: go on asking, and listen again with the fresh one that brings. */
  lose() {
    this.source.close();
    this.source = null;
    const wait = RETRIES[Math.min(this.streamFailures++, RETRIES.length - 1)];
    this.plan(0);
    this.again = setTimeout(() => this.listen(), wait);
  }

  say(state) {
    for (const place of document.querySelectorAll(`[data-live-state="${this.root.id}"]`)) {
      if (place.dataset.state === state) continue;
      place.dataset.state = state;
      place.textContent = WORDS[state];
    }
  }
}

const parts = new Set();
function begin(within) {
  const found = [...within.querySelectorAll("[data-live]")];
  if (within.matches?.("[data-live]")) found.push(within);
  for (const root of found) {
    if (![...parts].some((part) => part.root === root)) parts.add(new Live(root));
  }
}

document.addEventListener("visibilitychange", () => {
  for (const part of parts) document.hidden ? part.pause() : part.resume();
});
document.addEventListener("htmx:load", (event) => begin(event.target));
begin(document);
