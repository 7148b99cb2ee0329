/** The options, completed from the environment; what is wrong is told and turned off, never thrown. */

import { guarded, tell } from "./tell.js";

const ID_LENGTH = 200;

/**
 * @typedef {import("../index.d.ts").Options} Options
 * @typedef {ReturnType<typeof completed>} Completed
 */

/**
 * Return the options with what the environment says where they are silent.
 * @param {Options} given
 */
export function completed(given) {
  const env = process.env;
  const url = address(given.url ?? env.TRACKSIDE_URL);
  const key = header(given.apiKey ?? env.TRACKSIDE_API_KEY);
  if (!url || !key) tell("options", "nothing is reported: give `url` and `apiKey` (or TRACKSIDE_URL and TRACKSIDE_API_KEY)");
  return {
    url,
    key,
    enabled: Boolean(url && key),
    service: String(given.service ?? env.TRACKSIDE_SERVICE ?? env.OTEL_SERVICE_NAME ?? env.npm_package_name ?? "unknown_service"),
    version: String(given.version ?? env.TRACKSIDE_SERVICE_VERSION ?? env.npm_package_version ?? ""),
    user: reader("user", given.user),
    account: reader("account", given.account),
    route: typeof given.route === "function" ? given.route : undefined,
    every: number(given.every, 5, 0.05, 60) * 1000,
    series: number(given.series, 1000, 10, 20_000),
    spans: number(given.spans, 20, 0, 1000),
    timeout: number(given.timeout, 10, 0.1, 60) * 1000,
    stackTraces: given.stackTraces === true,
    spool: folder(given.spool ?? env.TRACKSIDE_SPOOL),
  };
}

/** @returns {URL | undefined} The address with a slash at its end, so that paths can be put behind it. */
function address(url) {
  if (!url) return undefined;
  return guarded("url", () => {
    const made = new URL(String(url).replace(/\/*$/, "/"));
    if (!/^https?:$/.test(made.protocol)) throw new Error(`${made.protocol} is neither http: nor https:`);
    return made;
  });
}

/** @returns {string} The key, or nothing where a header could not carry it. */
function header(key) {
  const text = String(key ?? "").trim();
  return /^[\x21-\x7e]*$/.test(text) ? text : "";
}

/** @returns {string | undefined} Where to spool: "" for nowhere, undefined for the usual place. */
function folder(given) {
  if (given === false || given === "off") return "";
  return typeof given === "string" && given ? given : undefined;
}

function number(value, usual, least, most) {
  return Number.isFinite(value) ? Math.min(Math.max(value, least), most) : usual;
}

/** Return how to read an id from a request: by a function, or from the header of that name; "" where there is none. */
function reader(kind, by) {
  if (by === undefined || by === null) return () => "";
  if (typeof by === "string") {
    const name = by.toLowerCase();
    return (req) => id(req.headers[name]);
  }
  if (typeof by === "function") return (req, res) => guarded(kind, () => id(by(req, res))) ?? "";
  tell(kind, `\`${kind}\` is neither a function nor the name of a header, and was left out`);
  return () => "";
}

/**
 * Throw where the application answers with a promise, whose failure, later, would end its process.
 * @param {any} value
 */
export function refusePromise(value) {
  if (typeof value?.then !== "function") return;
  value.then(undefined, () => {});
  throw new TypeError("it returned a promise, but the answer must be known at once");
}

/** A longer id is kept one character too long, so that the server refuses it instead of making one person of two. */
function id(value) {
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "string") return value.trim().slice(0, ID_LENGTH + 1);
  refusePromise(value);
  return "";
}
