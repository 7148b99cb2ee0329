/** One POST to Trackside. */

import http from "node:http";
import https from "node:https";

const agents = {
  "http:": new http.Agent({ keepAlive: true, maxSockets: 2 }),
  "https:": new https.Agent({ keepAlive: true, maxSockets: 2 }),
};
const MOST_ANSWER = 16_384;
const RETRIED = new Set([0, 408, 429, 502, 503, 504]);

/**
 * What became of a request: `status` 0 where no answer came, `again` whether the same bytes may be sent later,
 * `after` the seconds that the server asks to wait, `text` the beginning of what it answered.
 * @typedef {{status: number, again: boolean, after: number | undefined, text: string}} Answer
 */

/**
 * Send a gzipped JSON body; never rejects.
 * @param {URL} url
 * @param {string} key
 * @param {Buffer} body
 * @param {number} timeout Milliseconds for all of it.
 * @returns {Promise<Answer>}
 */
export function post(url, key, body, timeout) {
  return new Promise((resolve) => {
    const settle = (status, headers, text) => {
      clearTimeout(timer);
      resolve({ status, again: RETRIED.has(status), after: seconds(headers["retry-after"]), text });
    };
    const fail = (error) => settle(0, {}, String(error?.message || error?.code || error));
    let request;
    const timer = setTimeout(() => request?.destroy(new Error("no answer in time")), timeout);
    try {
      request = (url.protocol === "https:" ? https : http).request(url, {
        method: "POST",
        agent: agents[url.protocol],
        headers: {
          Authorization: `Bearer ${key}`,
          "Content-Type": "application/json",
          "Content-Encoding": "gzip",
          "Content-Length": body.length,
          "User-Agent": "trackside-client-js/0.1.0",
        },
      });
    } catch (error) {
      return fail(error);
    }
    request.on("error", fail);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part) => {
        if (text.length < MOST_ANSWER) text += part;
        else response.destroy(new Error("the answer is too long"));
      });
      response.on("error", fail);
      response.on("end", () => settle(response.statusCode, response.headers, text));
    });
    request.end(body);
  });
}

/** Return the seconds of a Retry-After header, which may be a date. */
function seconds(value) {
  if (value === undefined) return undefined;
  const wait = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined;
}
