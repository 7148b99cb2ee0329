/**
 * What was counted between two flushes, and never across the turn of a minute: one series for each (method, route,
 * status, user, account), each a histogram. Its memory is bounded; counts are coarsened past the bound, never dropped.
 */

import { ZERO, indexOf } from "./histogram.js";

export const UNMATCHED = "(unmatched)";
export const OTHER = "(other)";
const MINUTE_MS = 60_000;
let sequence = 0;

/** The requests of one subject. Durations in seconds. */
class Series {
  /**
   * @param {string} method
   * @param {string} route
   * @param {number} status
   * @param {string} user
   * @param {string} account
   */
  constructor(method, route, status, user, account) {
    this.method = method;
    this.route = route;
    this.status = status;
    this.user = user;
    this.account = account;
    this.count = 0;
    this.zero = 0;
    this.sum = 0;
    this.min = Infinity;
    this.max = 0;
    /** @type {Map<number, number>} */
    this.buckets = new Map();
  }

  /** @param {number} seconds */
  add(seconds) {
    this.count += 1;
    this.sum += seconds;
    if (seconds < this.min) this.min = seconds;
    if (seconds > this.max) this.max = seconds;
    const index = indexOf(seconds);
    if (index === ZERO) this.zero += 1;
    else this.buckets.set(index, (this.buckets.get(index) ?? 0) + 1);
  }
}

/** The series of one stretch of time. */
export class Window {
  /**
   * @param {number} now Milliseconds since 1970.
   * @param {number} cap Series before users are left out; twice as many before routes are.
   */
  constructor(now, cap) {
    this.opened = now;
    /** The end of the minute it began in: the server counts a window in the minute of its end. */
    this.until = (Math.floor(now / MINUTE_MS) + 1) * MINUTE_MS;
    this.cap = cap;
    this.end = 0n;
    /** @type {Map<string, Series>} */
    this.series = new Map();
  }

  get full() {
    return this.series.size >= this.cap;
  }

  /**
   * Count a request.
   * @param {string} method
   * @param {string} route
   * @param {number} status
   * @param {string} user
   * @param {string} account
   * @param {number} seconds
   */
  add(method, route, status, user, account, seconds) {
    // The length keeps apart what a user id could imitate.
    const key = `${method} ${status} ${route}\n${user.length} ${user}${account}`;
    let series = this.series.get(key);
    if (series === undefined) {
      const coarse = this.#coarsened(route, user, account);
      if (coarse) return this.add(method, coarse, status, "", "", seconds);
      series = new Series(method, route, status, user, account);
      this.series.set(key, series);
    }
    series.add(seconds);
  }

  /** Return the route to count a new series under without its user, or nothing where there is room for all of it. */
  #coarsened(route, user, account) {
    if (this.series.size >= 2 * this.cap && route !== OTHER) return OTHER;
    return this.full && (user || account) ? route : "";
  }

  /**
   * Fix the end of the window: no two windows of a process end in the same nanosecond, so no two bodies are equal.
   * @param {number} now Milliseconds since 1970.
   */
  seal(now) {
    sequence = (sequence + 1) % 1_000_000;
    const end = Math.min(Math.max(now, this.opened), this.until - 1);
    this.end = BigInt(end) * 1_000_000n + BigInt(sequence);
  }
}
