/** One request, from its arrival to the end of its response. */

import { randomBytes } from "node:crypto";
import { refusePromise } from "./options.js";
import { Trail, VISIT, WATCHED } from "./route.js";
import { guarded } from "./tell.js";
import { UNMATCHED } from "./window.js";

const GONE = 499;
const PATH_LENGTH = 300;
const PARENT = /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}/;

/**
 * Time a request until its response is finished or given up; does nothing where it is being timed already.
 * @param {import("./client.js").Client} client
 * @param {any} req
 * @param {any} res
 */
export function visit(client, req, res) {
  if (!client.enabled || req[VISIT]?.client === client) return;
  const made = new Visit(client, req, res);
  if (!req[VISIT]) {
    req[VISIT] = made;
    Object.defineProperties(req, WATCHED);
  }
  res.once("finish", made.end);
  res.once("close", made.end);
}

class Visit {
  constructor(client, req, res) {
    this.client = client;
    this.req = req;
    this.res = res;
    this.method = req.method;
    this.error = undefined;
    this.over = false;
    // A second client, for another Trackside, reads what the first one watches.
    this.trail = req[VISIT]?.trail ?? new Trail(req);
    this.end = () => {
      if (this.over) return;
      this.over = true;
      guarded("counting", () => this.#count((performance.now() - this.began) / 1000));
    };
    this.began = performance.now();
  }

  #count(seconds) {
    const { client, req, res } = this;
    const { options } = client;
    const status = res.writableFinished || res.headersSent ? res.statusCode : GONE;
    const route = this.#route(options.route);
    const user = options.user(req, res);
    const account = options.account(req, res);
    client.record(this.method, route, status, user, account, seconds);
    if ((status >= 400 || route === UNMATCHED) && client.curious) {
      client.samples.push(this.#sample(route, status, user, account, seconds));
    }
  }

  #route(given) {
    return (given && guarded("route", () => this.#ask(given))) || this.trail.template() || UNMATCHED;
  }

  #ask(given) {
    const named = given(this.req, this.res);
    refusePromise(named);
    return typeof named === "string" ? named : "";
  }

  #sample(route, status, user, account, seconds) {
    const { client, req } = this;
    const [, traceId, parentId] = PARENT.exec(req.headers?.traceparent ?? "") ?? [];
    const ended = Date.now();
    return {
      ...{ method: this.method, route, status, user, account },
      path: String(req.originalUrl ?? req.url ?? "").split(/[?#]/, 1)[0].slice(0, PATH_LENGTH),
      began: ended - seconds * 1000,
      ended,
      traceId: traceId ?? randomBytes(16).toString("hex"),
      spanId: randomBytes(8).toString("hex"),
      parentId: parentId ?? "",
      error: this.error && guarded("error", () => described(this.error, client.options.stackTraces)),
    };
  }
}

function described(error, stackTraces) {
  const type = String(error?.name ?? typeof error).slice(0, 200);
  const message = String(error?.message ?? error).slice(0, 1000);
  return { type, message, stack: stackTraces ? String(error?.stack ?? "").slice(0, 8000) : "" };
}
