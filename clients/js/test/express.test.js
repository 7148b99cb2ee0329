import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";
import { noteError, trackside } from "../src/index.js";
import { Trail, templated } from "../src/route.js";
import { attributes, call, counts, fakeTrackside, serve } from "../fixtures/support.js";

/** What Express' router does to a request: `["enter", base, params]`, `["leave", base]`, `["choose", path]`. */
function walked(...steps) {
  const req = { params: {} };
  const trail = new Trail(req);
  for (const [step, value, params] of steps) {
    if (params) req.params = params;
    if (step === "choose") trail.choose({ path: value });
    else trail.enter(req, value);
  }
  return trail.template();
}

test("a route is named by its full template", () => {
  assert.equal(walked(["choose", "/orders/:id"]), "/orders/:id");
  assert.equal(walked(["enter", "/api"], ["choose", "/orders/:id"]), "/api/orders/:id");
  assert.equal(walked(["enter", "/api"], ["choose", "/"]), "/api");
  assert.equal(walked(["choose", "/"]), "/");
  assert.equal(walked(["choose", ["/a", /b/]]), "/a,/b/");
  assert.equal(walked(["enter", "/static"]), "");
});

test("what varies in a mount path is named, not told", () => {
  const steps = [["enter", "/t/42", { tenant: "42" }], ["enter", "/t/42/u/7", { user: "7" }], ["choose", "/orders"]];
  assert.equal(walked(...steps), "/t/:tenant/u/:user/orders");
  assert.equal(templated("/users/users", { id: "users" }), "/users/:id");
  assert.equal(templated("/v2/a%20b", { n: "2", name: "a b" }), "/v:n/:name");
  assert.equal(templated("/files/a/b", { path: ["a", "b"] }), "/files/:path");
  assert.equal(templated("/a/%zz", { other: undefined, empty: "" }), "/a/%zz");
});

test("the template stays when a router hands an error on, and another router's prefix does not", () => {
  assert.equal(walked(["enter", "/api"], ["choose", "/fails"], ["leave", ""]), "/api/fails");
  assert.equal(walked(["enter", "/api"], ["leave", ""], ["enter", "/apix"], ["choose", "/a"]), "/apix/a");
});

const require = createRequire(import.meta.url);
const names = (process.env.TRACKSIDE_TEST_EXPRESS ?? "express").split(",");

for (const name of names) {
  let express;
  try {
    express = require(name);
  } catch {
    test(`${name}: its routes are named, its errors counted`, { skip: `${name} is not installed` }, () => {});
    continue;
  }

  test(`${name}: its routes are named, its errors counted`, async (t) => {
    const fake = await fakeTrackside(t);
    const app = express();
    const watch = trackside({ url: fake.url, apiKey: "k", spool: false, every: 60, user: (req) => req.user?.id });
    t.after(() => watch.client.close());
    build(express, app, watch);
    const url = await serve(t, app);
    for (const path of PATHS) await call(url + path);
    await watch.client.flush();
    assert.deepEqual(counts(fake.points()), EXPECTED);
    const spans = fake.traces[0].resourceSpans[0].scopeSpans[0].spans;
    const failed = spans.find((span) => span.events);
    assert.equal(attributes(failed)["error.type"], "RangeError");
    assert.equal(attributes(failed.events[0])["exception.message"], "out of range");
  });
}

function build(express, app, watch) {
  app.use(watch);
  app.use((req, res, next) => {
    req.user = { id: 7 };
    next();
  });
  app.get("/", (req, res) => res.send("home"));
  app.get("/orders/:id", (req, res) => res.send("order"));
  const api = express.Router();
  api.get("/", (req, res) => res.send("api"));
  api.route("/items/:id").get((req, res) => setTimeout(() => res.send("item"), 5));
  api.get("/fails", (req, res, next) => setImmediate(() => next(new RangeError("out of range"))));
  const tenant = express.Router();
  tenant.get("/users/:id", (req, res) => res.send(req.params.id));
  api.use("/t/:tenant", tenant);
  app.use("/api", api);
  const mounted = express();
  mounted.get("/deep/:x", (req, res) => res.send(req.baseUrl));
  app.use("/sub", mounted);
  app.use("/blocked", (req, res) => res.status(401).end());
  app.use(noteError);
  app.use((error, req, res, next) => res.status(500).end());
}

const PATHS = [
  ...["/", "/orders/1", "/orders/2", "/api", "/api/items/3", "/api/fails", "/api/t/acme/users/9"],
  ...["/sub/deep/4", "/blocked/x", "/nowhere"],
];
const EXPECTED = {
  "GET / 200 7": 1,
  "GET /orders/:id 200 7": 2,
  "GET /api 200 7": 1,
  "GET /api/items/:id 200 7": 1,
  "GET /api/fails 500 7": 1,
  "GET /api/t/:tenant/users/:id 200 7": 1,
  "GET /sub/deep/:x 200 7": 1,
  "GET (unmatched) 401 7": 1,
  "GET (unmatched) 404 7": 1,
};
