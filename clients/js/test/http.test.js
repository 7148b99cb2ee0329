import assert from "node:assert/strict";
import http from "node:http";
import test from "node:test";
import { Client, trackside, wrap } from "../src/index.js";
import { attributes, call, counts, fakeTrackside, serve, until } from "../fixtures/support.js";

const route = (req) => (req.url.startsWith("/orders/") ? "/orders/{id}" : undefined);

async function shop(t, fake, listener, more = {}) {
  const options = { url: fake.url, apiKey: "k", service: "shop", version: "7", route, spool: false, every: 60, ...more };
  const watched = wrap(listener, options);
  t.after(() => watched.client.close());
  return { url: await serve(t, watched), client: watched.client };
}

test("every call is counted by method, route, status, user and account", async (t) => {
  const fake = await fakeTrackside(t);
  const answer = (req, res) => res.writeHead(req.url.startsWith("/orders/") ? 200 : 404).end();
  const who = { user: "X-User", account: (req) => (req.headers["x-user"] ? 42 : null) };
  const { url, client } = await shop(t, fake, answer, who);
  for (let n = 0; n < 20; n += 1) await call(`${url}/orders/${n}`, { headers: { "x-user": `u${n % 2}` } });
  await call(`${url}/nowhere?secret=1`, { method: "POST" });
  await call(`${url}/nowhere`, { method: "PURGE" });
  await client.flush();
  assert.deepEqual(counts(fake.points()), {
    "GET /orders/{id} 200 u0": 10,
    "GET /orders/{id} 200 u1": 10,
    "POST (unmatched) 404": 1,
    "_OTHER (unmatched) 404": 1,
  });
  const [point] = fake.points();
  assert.equal(point["trackside.account"], "42");
  assert.equal(point.scale, 4);
  assert.equal(point.positive.bucketCounts.reduce((a, b) => a + b, point.zeroCount), point.count);
  assert.equal(point.resource["service.name"], "shop");
  assert.equal(point.resource["service.version"], "7");
  assert.equal(point.resource["telemetry.sdk.name"], "trackside-client-js");
  assert.equal(fake.requests[0].headers.authorization, "Bearer k");
});

test("a streamed response is timed to its end", async (t) => {
  const fake = await fakeTrackside(t);
  const { url, client } = await shop(t, fake, (req, res) => {
    res.write("first");
    setTimeout(() => res.end("last"), 60);
  });
  await call(`${url}/orders/1`);
  await client.flush();
  assert.ok(fake.points()[0].max >= 0.055);
});

test("a caller that leaves before any answer counts as 499, later as what was sent", async (t) => {
  const fake = await fakeTrackside(t);
  const { url, client } = await shop(t, fake, (req, res) => {
    if (req.url === "/orders/2") res.write("begun");
  });
  for (const path of ["/orders/1", "/orders/2"]) {
    const request = http.get(url + path, { agent: false }, () => request.destroy());
    request.on("error", () => {});
    if (path === "/orders/1") setTimeout(() => request.destroy(), 30);
  }
  await until(() => [...client.window.series.values()].length === 2);
  await client.flush();
  assert.deepEqual(counts(fake.points()), { "GET /orders/{id} 499": 1, "GET /orders/{id} 200": 1 });
});

test("nothing that fails in here reaches the application", async (t) => {
  const fake = await fakeTrackside(t);
  const broken = () => {
    throw new Error("no");
  };
  const answer = (req, res) => res.end("fine");
  const { url, client } = await shop(t, fake, answer, { user: broken, account: async () => broken(), route: broken });
  assert.equal((await call(`${url}/orders/1`)).text, "fine");
  await client.flush();
  assert.deepEqual(counts(fake.points()), { "GET (unmatched) 200": 1 });
  for (const options of [undefined, null, { url: "ftp://x", apiKey: "k" }, { url: "::", apiKey: "k" }, { apiKey: "a\nb" }]) {
    const off = trackside(options);
    let called = 0;
    off({ headers: {} }, {}, () => (called += 1));
    off.client.record("GET", "/", 200, "", "", 1);
    await off.client.flush();
    assert.deepEqual([called, off.client.enabled], [1, false]);
  }
});

test("a request that passes two middlewares of one client counts once", async (t) => {
  const fake = await fakeTrackside(t);
  const client = new Client({ url: fake.url, apiKey: "k", spool: false, every: 60 });
  t.after(() => client.close());
  const inner = trackside(client);
  const url = await serve(t, wrap((req, res) => inner(req, res, () => res.end()), client));
  await call(url);
  await client.flush();
  assert.deepEqual(counts(fake.points()), { "GET (unmatched) 200": 1 });
});

test("failed and unmatched requests are shown by themselves, a few, without their query", async (t) => {
  const fake = await fakeTrackside(t);
  const answer = (req, res) => res.writeHead(req.url.startsWith("/orders/1") ? 200 : 503).end();
  const { url, client } = await shop(t, fake, answer, { spans: 2, user: "x-user" });
  const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  await call(`${url}/orders/1`);
  for (let n = 0; n < 4; n += 1) await call(`${url}/orders/2?key=secret`, { headers: { traceparent, "x-user": "u" } });
  await client.flush();
  const spans = fake.traces[0].resourceSpans[0].scopeSpans[0].spans;
  assert.equal(spans.length, 2);
  const [span] = spans;
  assert.deepEqual([span.kind, span.status.code, span.traceId], [2, 2, "a".repeat(32)]);
  assert.deepEqual(attributes(span), {
    "http.request.method": "GET",
    "http.response.status_code": 503,
    "trackside.user": "u",
    "url.path": "/orders/2",
    "http.route": "/orders/{id}",
    "error.type": "503",
  });
  assert.ok(!JSON.stringify(fake.traces).includes("secret"));
});

test("a server that takes no traces is not asked again", async (t) => {
  const fake = await fakeTrackside(t);
  fake.tracesStatus = 404;
  const { url, client } = await shop(t, fake, (req, res) => res.writeHead(500).end());
  for (let n = 0; n < 2; n += 1) {
    await call(`${url}/orders/1`);
    await client.flush();
  }
  assert.deepEqual([fake.traces.length, fake.bodies.length], [1, 2]);
});

test("half a surrogate pair spoils no batch", async (t) => {
  const fake = await fakeTrackside(t);
  const { url, client } = await shop(t, fake, (req, res) => res.end(), { user: () => "a\ud800b" });
  await call(`${url}/orders/1`);
  await client.flush();
  assert.deepEqual(counts(fake.points()), { "GET /orders/{id} 200 a\0b": 1 });
});
