/**
 * The folder that holds what could not be sent: one file a parcel, shared by all processes that report to the same
 * server with the same key. A process claims a file by renaming it; a claim of a dead process ends after a minute.
 * Should two send the same parcel all the same, the server counts it once: it knows a batch by its bytes.
 */

import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { tell } from "./tell.js";

export const MOST_BYTES = 50 * 2 ** 20;
export const MOST_AGE_MS = 59 * 60_000;
const CLAIM_MS = 60_000;
const NAME = /^(\d{1,15})-(\d{1,10})-([\w-]{1,80})\.gz(?:\.(\d{1,15}))?$/;

/**
 * A body that is ready to be sent; `at` is the time of its window in milliseconds since 1970.
 * @typedef {{at: number, id: string, bytes: Buffer}} Parcel
 * @typedef {{name: string, at: number, size: number, id: string, claimed: number}} Entry
 */

/** Parcels on disk. */
export class Spool {
  /**
   * @param {URL} url
   * @param {string} key
   * @param {string} [folder] Where to make the folder; the system's for temporary files if not told.
   */
  constructor(url, key, folder) {
    const name = createHash("sha256").update(`${url}\n${key}`).digest("hex").slice(0, 16);
    this.folder = path.join(folder || os.tmpdir(), `trackside-client-${process.getuid?.() ?? ""}-${name}`);
    this.ready = false;
    this.most = MOST_BYTES;
  }

  /**
   * Keep a parcel, drop the oldest ones over the limits; return whether it is on disk. Synchronous, so that a dying
   * process can call it: a parcel is some 20 KB.
   * @param {Parcel} parcel
   */
  put(parcel) {
    try {
      this.#open();
      const name = path.join(this.folder, `${parcel.at}-${parcel.bytes.length}-${parcel.id}.gz`);
      fs.writeFileSync(`${name}.part`, parcel.bytes, { mode: 0o600 });
      fs.renameSync(`${name}.part`, name);
      this.#trim();
      return true;
    } catch (error) {
      tell("spool", `the disk cannot keep what waits for Trackside, memory does: ${error}`);
      return false;
    }
  }

  /**
   * Claim the oldest parcel that nobody holds; undefined where there is none.
   * @returns {(Parcel & {done: () => void, back: () => void}) | undefined}
   */
  take() {
    for (const entry of this.#entries(true)) {
      if (Date.now() - entry.at > MOST_AGE_MS) {
        this.#drop(entry);
        continue;
      }
      if (Date.now() - entry.claimed < CLAIM_MS) continue;
      const free = path.join(this.folder, entry.name.replace(/\.gz\.\d+$/, ".gz"));
      const held = `${free}.${Date.now()}`;
      try {
        fs.renameSync(path.join(this.folder, entry.name), held);
        const bytes = fs.readFileSync(held);
        if (bytes.length !== entry.size) throw new Error("cut short");
        return {
          ...{ at: entry.at, id: entry.id, bytes },
          done: () => quietly(() => fs.unlinkSync(held)),
          back: () => quietly(() => fs.renameSync(held, free)),
        };
      } catch (error) {
        if (error.code !== "ENOENT") quietly(() => fs.unlinkSync(held)); // else another process was quicker
      }
    }
    return undefined;
  }

  /** Make the folder, for us alone: it holds the ids of users. Not `recursive`, which never returns under /proc. */
  #open() {
    for (const each of [path.dirname(this.folder), this.folder]) {
      if (!fs.existsSync(each)) fs.mkdirSync(each, { mode: 0o700 });
    }
    const found = fs.lstatSync(this.folder);
    const foreign = process.getuid !== undefined && (found.uid !== process.getuid() || (found.mode & 0o077) !== 0);
    if (!found.isDirectory() || foreign) throw new Error(`${this.folder} is open to others`);
    this.ready = true;
  }

  /** @returns {Entry[]} What is there, the oldest first. */
  #entries(check = false) {
    try {
      if (check && !this.ready) this.#open();
      const found = [];
      for (const name of fs.readdirSync(this.folder)) {
        const [, at, size, id, claimed] = NAME.exec(name) ?? [];
        if (at) found.push({ name, at: Number(at), size: Number(size), id, claimed: Number(claimed ?? 0) });
      }
      return found.sort((a, b) => a.at - b.at);
    } catch {
      return [];
    }
  }

  #trim() {
    const entries = this.#entries();
    let bytes = entries.reduce((sum, entry) => sum + entry.size, 0);
    for (const entry of entries) {
      if (bytes <= this.most && Date.now() - entry.at <= MOST_AGE_MS) return;
      this.#drop(entry);
      bytes -= entry.size;
    }
  }

  #drop(entry) {
    tell("dropped", "Trackside was away for too long: the oldest counts that waited for it were dropped");
    quietly(() => fs.unlinkSync(path.join(this.folder, entry.name)));
  }
}

function quietly(act) {
  try {
    act();
  } catch {
    // gone already: another process of ours was here
  }
}
