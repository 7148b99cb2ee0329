/** Counts requests in this process and hands them over every few seconds. */

import { randomUUID } from "node:crypto";
import { Courier } from "./courier.js";
import { release, watch } from "./ending.js";
import { completed } from "./options.js";
import { guarded, tell } from "./tell.js";
import { UNMATCHED, Window } from "./window.js";

const MOST_WINDOWS = 10;
const METHODS = new Set("GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT QUERY".split(" "));

/** The counts of one process; each process and worker thread that loads this module has its own instance id. */
export class Client {
  /** @param {import("../index.d.ts").Options} [options] */
  constructor(options = {}) {
    this.enabled = false;
    guarded("options", () => this.#open(completed(options ?? {})));
  }

  /** @param {import("./options.js").Completed} options */
  #open(options) {
    this.options = options;
    if (!options.enabled) return;
    const { service, version } = options;
    this.courier = new Courier(this.options, { service, version, instance: randomUUID() });
    this.window = new Window(Date.now(), this.options.series);
    /** @type {import("./otlp.js").Sample[]} */
    this.samples = [];
    /** @type {Promise<void> | undefined} */
    this.running = undefined;
    this.enabled = true;
    watch(this);
    this.#tick();
  }

  /**
   * Count one request.
   * @param {string} method
   * @param {string} route
   * @param {number} status
   * @param {string} user
   * @param {string} account
   * @param {number} seconds
   */
  record(method, route, status, user, account, seconds) {
    if (!this.enabled) return;
    const now = Date.now();
    const window = this.window;
    // A full window makes room while it may; past that it coarsens what it counts.
    if (now >= window.until || (window.full && this.courier.windows.length < MOST_WINDOWS)) this.#seal(now);
    this.window.add(METHODS.has(method) ? method : "_OTHER", route || UNMATCHED, status, user, account, seconds);
  }

  /** Whether one more request may be shown by itself before the next flush. */
  get curious() {
    return this.samples.length < this.options.spans && this.courier.wantsTraces;
  }

  /** Send all that was counted; resolved once the server has it or the disk does. Never rejects. */
  async flush() {
    if (!this.enabled) return;
    while (this.running) await this.running;
    this.running = this.#deliver();
    await this.running;
  }

  /** Flush, and stop: nothing is sent any more but by another `flush()`. */
  async close() {
    if (!this.enabled) return;
    clearTimeout(this.timer);
    await this.flush();
    release(this);
  }

  /** Whether anything would be lost if the process ended now. */
  get laden() {
    return this.window.series.size > 0 || this.courier.laden;
  }

  /** Put all that was not sent on disk, for the next process to send; synchronous. */
  save() {
    this.#seal(Date.now());
    this.courier.save();
  }

  #tick() {
    const wait = this.options.every * (1 + Math.random() / 5);
    this.timer = setTimeout(() => {
      if (!this.running) void this.flush();
      this.#tick();
    }, wait);
    this.timer.unref();
  }

  #seal(now) {
    if (this.window.series.size) {
      this.window.seal(now);
      this.courier.windows.push(this.window);
    }
    this.window = new Window(now, this.options.series);
  }

  async #deliver() {
    try {
      this.#seal(Date.now());
      await this.courier.deliver(this.samples.splice(0));
    } catch (error) {
      tell("delivery", `a delivery failed: ${error}`);
    } finally {
      this.running = undefined;
    }
  }
}
