/** Middleware for Express and for Node's own http server that reports every request to Trackside. */

import { Client } from "./client.js";
import { VISIT } from "./route.js";
import { guarded } from "./tell.js";
import { visit } from "./visit.js";

export { Client };

/**
 * Return middleware for Express 4 and 5: `app.use(trackside({...}))`, before everything else.
 * @param {import("../index.d.ts").Options | Client} [options]
 */
export function trackside(options) {
  const client = options instanceof Client ? options : new Client(options);
  const middleware = (req, res, next) => {
    guarded("watching a request", () => visit(client, req, res));
    next();
  };
  return Object.assign(middleware, { client });
}

/**
 * Return a listener for `http.createServer` that times what `listener` does.
 * @param {(req: any, res: any) => unknown} listener
 * @param {import("../index.d.ts").Options | Client} [options]
 */
export function wrap(listener, options) {
  const client = options instanceof Client ? options : new Client(options);
  function watched(req, res) {
    guarded("watching a request", () => visit(client, req, res));
    return listener.call(this, req, res);
  }
  return Object.assign(watched, { client });
}

/** Express error middleware: shows the error with the failed request in Trackside, and hands it on. */
export function noteError(error, req, _res, next) {
  if (req[VISIT]) req[VISIT].error = error;
  next(error);
}

export default trackside;
