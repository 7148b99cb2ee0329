import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it as test } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "../src/index.js";
import { counts, fakeTrackside, folder, waiting } from "../fixtures/support.js";

const CHILD = fileURLToPath(new URL("../fixtures/child.js", import.meta.url));

async function run(end, url, spool, signal) {
  const child = spawn(process.execPath, [CHILD, end, url, spool], { stdio: ["ignore", "pipe", "ignore"] });
  if (signal) child.stdout.once("data", () => child.kill(signal));
  child.stdout.resume();
  return once(child, "exit"); // [code, signal]
}

const ONE = { "GET /x 200": 1 };

describe("the end of a process", { concurrency: 3 }, () => {
  test("a process that has nothing left to do sends what it counted", async (t) => {
    const fake = await fakeTrackside(t);
    assert.deepEqual(await run("idle", fake.url, folder(t)), [0, null]);
    assert.deepEqual(counts(fake.points()), ONE);
  });

  test("signals end the process as ever, after a last delivery", async (t) => {
    for (const signal of ["SIGTERM", "SIGINT"]) {
      const fake = await fakeTrackside(t);
      assert.deepEqual(await run("signal", fake.url, folder(t), signal), [null, signal]);
      assert.deepEqual(counts(fake.points()), ONE);
    }
  });

  test("an application that handles the signal ends in its own way", async (t) => {
    const fake = await fakeTrackside(t);
    assert.deepEqual(await run("handled", fake.url, folder(t), "SIGTERM"), [5, null]);
    assert.deepEqual(counts(fake.points()), ONE);
  });

  test("a process that ends at once leaves its counts on disk, and the next one sends them", async (t) => {
    const fake = await fakeTrackside(t);
    const spool = folder(t);
    assert.deepEqual(await run("exit", fake.url, spool), [3, null]);
    assert.deepEqual(await run("throw", fake.url, spool), [1, null]);
    assert.equal(waiting(spool).length, 2);
    const next = new Client({ url: fake.url, apiKey: "k", every: 60, spool });
    await next.close();
    assert.deepEqual(counts(fake.points()), { "GET /x 200": 2 });
  });

  test("a server that is away at the end costs no count and no time", async (t) => {
    const spool = folder(t);
    assert.deepEqual(await run("idle", "http://127.0.0.1:9", spool), [0, null]);
    assert.equal(waiting(spool).length, 1);
  });

  test("each worker of a cluster and each thread has an instance of its own", async (t) => {
    for (const kind of ["cluster", "threads"]) {
      const fake = await fakeTrackside(t);
      await run(kind, fake.url, folder(t));
      assert.deepEqual(counts(fake.points()), { "GET /x 200": 2 }, kind);
      assert.equal(new Set(fake.points().map((point) => point.resource["service.instance.id"])).size, 2);
    }
  });
});
