import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import { Client } from "../src/index.js";
import { MOST_AGE_MS, MOST_BYTES, Spool } from "../src/spool.js";
import { counts, fakeTrackside, folder, until, waiting } from "../fixtures/support.js";

function client(t, url, more) {
  const made = new Client({ url, apiKey: "k", service: "shop", every: 60, spool: folder(t), ...more });
  t.after(() => made.close());
  return made;
}

const once = (made, user = "u") => made.record("GET", "/orders", 200, user, "", 0.01);

test("what could not be sent goes to disk and is sent later, the same bytes", async (t) => {
  const fake = await fakeTrackside(t, [503, 200]);
  const made = client(t, fake.url);
  once(made);
  await made.flush();
  assert.equal(waiting(made.options.spool).length, 1);
  once(made);
  await made.flush(); // too early: to the disk without asking
  assert.deepEqual([fake.bodies.length, waiting(made.options.spool).length], [1, 2]);
  made.courier.notBefore = 0;
  await made.flush();
  assert.equal(fake.bodies[1], fake.bodies[0]);
  assert.deepEqual(counts(fake.points()), { "GET /orders 200 u": 2 });
  assert.deepEqual(waiting(made.options.spool), []);
});

test("without a disk memory keeps it", async (t) => {
  for (const spool of [false, "/proc/nowhere"]) {
    const fake = await fakeTrackside(t, [429, 200]);
    const made = client(t, fake.url, { spool });
    once(made);
    await made.flush();
    assert.ok(made.laden);
    made.courier.notBefore = 0;
    await made.flush();
    assert.deepEqual([made.laden, counts(fake.points())], [false, { "GET /orders 200 u": 1 }]);
  }
});

test("Retry-After is obeyed, and a little more", async (t) => {
  const fake = await fakeTrackside(t, [[429, { "Retry-After": "1" }], 200]);
  const made = client(t, fake.url, { every: 0.05 });
  once(made);
  await until(() => fake.bodies.length === 2);
  const waited = fake.requests[1].at - fake.requests[0].at;
  assert.ok(waited >= 1000 && waited < 3000, `${waited} ms`);
});

test("an unreachable server is asked at growing intervals", async (t) => {
  const made = client(t, "http://127.0.0.1:9");
  const waits = [];
  for (let n = 0; n < 8; n += 1) {
    once(made);
    made.courier.notBefore = 0;
    await made.flush();
    waits.push(made.courier.wait);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
  fs.rmSync(made.options.spool, { recursive: true });
});

test("what the server refuses is not sent again", async (t) => {
  for (const status of [400, 401, 404, 413, 500]) {
    const fake = await fakeTrackside(t, [[status, {}, "no\u001b[31m"]]);
    const made = client(t, fake.url);
    once(made);
    await made.flush();
    await made.flush();
    assert.deepEqual([fake.bodies.length, made.laden, waiting(made.options.spool)], [1, false, []]);
  }
});

test("a server that hangs holds up nobody for long", async (t) => {
  const fake = await fakeTrackside(t);
  const made = client(t, fake.url, { timeout: 0.1 });
  const began = Date.now();
  const net = await import("node:net");
  const mute = net.createServer(() => {}).listen(0, "127.0.0.1");
  t.after(() => mute.close());
  await until(() => mute.listening);
  made.courier.metrics = new URL(`http://127.0.0.1:${mute.address().port}/v1/metrics`);
  once(made);
  await made.flush();
  assert.ok(Date.now() - began < 2000);
  assert.equal(waiting(made.options.spool).length, 1);
});

test("many users make several batches, not a coarser one", async (t) => {
  const fake = await fakeTrackside(t);
  const made = client(t, fake.url, { series: 10 });
  for (let n = 0; n < 95; n += 1) once(made, `u${n}`);
  await made.flush();
  assert.equal(fake.bodies.length, 10);
  assert.equal(Object.keys(counts(fake.points())).length, 95);
});

test("memory is flat however many users come while nothing can be handed over", async (t) => {
  const fake = await fakeTrackside(t);
  const made = client(t, fake.url, { series: 10 });
  for (let n = 0; n < 5000; n += 1) made.record("GET", `/${n}`, 200, `u${n}`, "", 0.01);
  const series = [made.window, ...made.courier.windows].reduce((sum, window) => sum + window.series.size, 0);
  assert.ok(series <= 10 * 10 + 21, `${series} series`);
  await made.flush();
  assert.equal(fake.points().reduce((sum, point) => sum + point.count, 0), 5000);
});

test("a process finds and sends what another left, and two never take one parcel", (t) => {
  const parent = folder(t);
  const spools = [1, 2].map(() => new Spool(new URL("http://a/"), "k", parent));
  for (let n = 0; n < 4; n += 1) spools[0].put({ at: Date.now() - n * 1000, id: `x-${n}`, bytes: Buffer.from(`${n}`) });
  const taken = [0, 1, 0, 1].map((which) => spools[which].take());
  assert.deepEqual(taken.map((each) => each.bytes.toString()), ["3", "2", "1", "0"]);
  assert.equal(spools[0].take(), undefined);
  taken[0].back();
  taken[1].done();
  assert.equal(spools[1].take().bytes.toString(), "3");
  assert.equal(new Spool(new URL("http://a/"), "other", parent).take(), undefined);
});

test("a claim of a process that died ends, and a file cut short is left out", (t) => {
  const spool = new Spool(new URL("http://a/"), "k", folder(t));
  const now = Date.now();
  spool.put({ at: now, id: "whole", bytes: Buffer.from("whole") });
  fs.writeFileSync(path.join(spool.folder, `${now - 9}-100-cut.gz`), "cut");
  fs.writeFileSync(path.join(spool.folder, `${now - 8}-4-dead.gz.${now - 61_000}`), "dead");
  fs.writeFileSync(path.join(spool.folder, "notes.txt"), "not ours");
  assert.equal(spool.take().bytes.toString(), "dead");
  assert.equal(spool.take().bytes.toString(), "whole");
  assert.equal(spool.take(), undefined);
});

test("the spool holds 59 minutes and 50 MB, and drops the oldest", (t) => {
  const spool = new Spool(new URL("http://a/"), "k", folder(t));
  assert.deepEqual([MOST_AGE_MS, MOST_BYTES], [59 * 60_000, spool.most]);
  spool.most = 5000;
  const now = Date.now();
  const bytes = Buffer.alloc(2000);
  for (const age of [60, 3, 2, 1]) spool.put({ at: now - age * 60_000, id: `m${age}`, bytes });
  const kept = fs.readdirSync(spool.folder).map((name) => /m\d+/.exec(name)[0]);
  assert.deepEqual(kept.sort(), ["m1", "m2"]);
  fs.writeFileSync(path.join(spool.folder, `${now - 60 * 60_000}-3-old.gz`), "old");
  assert.equal(spool.take().id, "m2");
  assert.ok(!fs.readdirSync(spool.folder).some((name) => name.includes("old")));
});

test("a folder that others may read is not used", { skip: !process.getuid }, (t) => {
  const spool = new Spool(new URL("http://a/"), "k", folder(t));
  fs.mkdirSync(spool.folder);
  fs.chmodSync(spool.folder, 0o777);
  assert.equal(spool.put({ at: 1, id: "x", bytes: Buffer.from("x") }), false);
  assert.deepEqual([spool.take(), fs.readdirSync(spool.folder)], [undefined, []]);
});
