/** Brings sealed windows to the server: one at a time, later where it is away, to the disk meanwhile. */

import { promisify } from "node:util";
import { gzip, gzipSync } from "node:zlib";
import { metrics, traces } from "./otlp.js";
import { Spool } from "./spool.js";
import { tell } from "./tell.js";
import { post } from "./transport.js";

const squeeze = promisify(gzip);
const FAST = { level: 1 };
const MOST_IN_MEMORY = 5 * 2 ** 20;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60_000;
const MOST_ASKED_MS = 10 * 60_000;

/** @typedef {import("./spool.js").Parcel} Parcel */

/** Sends windows and samples of one client. */
export class Courier {
  /**
   * @param {import("./options.js").Completed} options
   * @param {import("./otlp.js").Resource} resource
   */
  constructor(options, resource) {
    this.options = options;
    this.resource = resource;
    this.metrics = new URL("v1/metrics", options.url);
    this.traces = new URL("v1/traces", options.url);
    this.spool = options.spool === "" ? undefined : new Spool(options.url, options.key, options.spool);
    /** @type {import("./window.js").Window[]} */
    this.windows = [];
    /** @type {Parcel[]} */
    this.parcels = [];
    this.number = 0;
    this.wait = 0;
    this.notBefore = 0;
    this.wantsTraces = true;
  }

  /** Whether anything is neither sent nor on disk. */
  get laden() {
    return this.windows.length > 0 || this.parcels.length > 0;
  }

  /**
   * Send what there is, or put it on disk where the server is away.
   * @param {import("./otlp.js").Sample[]} samples Sent after the counts, once, or not at all.
   */
  async deliver(samples) {
    while (this.windows.length) await this.#pack(this.windows[0]);
    if (Date.now() < this.notBefore) return this.store();
    if ((await this.#drain()) && samples.length && this.wantsTraces) await this.#show(samples);
  }

  /** Put all that is not sent on disk; synchronous, for a process that is about to end. */
  save() {
    for (const window of this.windows.splice(0)) {
      this.parcels.push(this.#parcel(window, gzipSync(metrics(this.resource, window), FAST)));
    }
    this.store();
  }

  /** Put the parcels on disk; they stay in memory, the newest few, where the disk takes none. */
  store() {
    if (this.spool) this.parcels = this.parcels.filter((parcel) => !this.spool.put(parcel));
    let bytes = this.parcels.reduce((sum, parcel) => sum + parcel.bytes.length, 0);
    while (bytes > MOST_IN_MEMORY) {
      tell("dropped", "Trackside was away for too long: the oldest counts that waited for it were dropped");
      bytes -= this.parcels.shift().bytes.length;
    }
  }

  /** The window stays in its list until it is packed, so that a dying process still finds it. */
  async #pack(window) {
    const bytes = await squeeze(metrics(this.resource, window), FAST);
    const place = this.windows.indexOf(window);
    if (place < 0) return;
    this.windows.splice(place, 1);
    this.parcels.push(this.#parcel(window, bytes));
  }

  #parcel(window, bytes) {
    this.number += 1;
    return { at: Number(window.end / 1_000_000n), id: `${this.resource.instance}-${this.number}`, bytes };
  }

  /** Send what is new, then what waits on disk; return whether the server took or refused all of it for good. */
  async #drain() {
    for (;;) {
      const parcel = this.parcels[0];
      const spooled = parcel ? undefined : this.spool?.take();
      if (!parcel && !spooled) return true;
      const answer = await post(this.metrics, this.options.key, (parcel ?? spooled).bytes, this.options.timeout);
      if (answer.again) {
        spooled?.back();
        this.#rest(answer);
        this.store();
        return false;
      }
      this.wait = 0;
      spooled?.done();
      if (parcel) this.parcels = this.parcels.filter((each) => each !== parcel);
      heed(answer);
    }
  }

  /** Wait as long as the server asks and a little longer, so that many clients do not come back at once. */
  #rest({ status, after, text }) {
    this.wait = Math.min(this.wait * 2 || FIRST_WAIT_MS, LONGEST_WAIT_MS);
    const asked = after === undefined ? this.wait : Math.min(after * 1000, MOST_ASKED_MS);
    this.notBefore = Date.now() + asked * (1 + Math.random() / 4);
    const kept = this.spool ? `kept in ${this.spool.folder}` : "kept in memory";
    tell("away", `${this.metrics.host} is away (${status || text}): counts are ${kept} and sent later`);
  }

  async #show(samples) {
    const bytes = await squeeze(traces(this.resource, samples), FAST);
    const { status } = await post(this.traces, this.options.key, bytes, this.options.timeout);
    // A server that takes no traces says so; the counts do not depend on them.
    if (status === 404 || status === 400) this.wantsTraces = false;
  }
}

/** Tell, once, what the server did not like about a body that it will not see again. */
function heed({ status, text }) {
  if (status === 200) {
    const message = partial(text);
    if (message) tell("partial", `Trackside says: ${message}`);
  } else {
    tell(`refused ${status}`, `Trackside refused a batch with status ${status}, which is not sent again: ${text}`);
  }
}

function partial(text) {
  if (!text.includes("partialSuccess")) return "";
  try {
    return String(JSON.parse(text).partialSuccess?.errorMessage ?? "");
  } catch {
    return "";
  }
}
