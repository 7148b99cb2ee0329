/** Windows and spans as OTLP/HTTP in JSON. */

import { SCALE, ZERO_LIMIT } from "./histogram.js";
import { UNMATCHED } from "./window.js";

const DELTA = 1;
const KIND_SERVER = 2;
const STATUS_ERROR = 2;
const SCOPE = { name: "trackside-client-js", version: "0.1.0" };
const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** @typedef {{service: string, version: string, instance: string}} Resource */

/**
 * Return the body of a metrics request for a sealed window: the same bytes each time it is asked.
 * @param {Resource} resource
 * @param {import("./window.js").Window} window
 */
export function metrics(resource, window) {
  const start = nano(window.opened);
  const dataPoints = [];
  for (const series of window.series.values()) dataPoints.push(point(series, start, String(window.end)));
  const metric = {
    name: "http.server.request.duration",
    unit: "s",
    exponentialHistogram: { aggregationTemporality: DELTA, dataPoints },
  };
  const scopeMetrics = [{ scope: SCOPE, metrics: [metric] }];
  return JSON.stringify({ resourceMetrics: [{ resource: described(resource), scopeMetrics }] });
}

function point(series, start, end) {
  const attributes = subject(series);
  attributes.push(text("http.route", series.route));
  return {
    attributes,
    startTimeUnixNano: start,
    timeUnixNano: end,
    count: series.count,
    sum: series.sum,
    min: series.min,
    max: series.max,
    scale: SCALE,
    zeroCount: series.zero,
    zeroThreshold: ZERO_LIMIT,
    positive: dense(series.buckets),
  };
}

function dense(buckets) {
  if (!buckets.size) return { offset: 0, bucketCounts: [] };
  const indexes = [...buckets.keys()];
  const offset = Math.min(...indexes);
  const bucketCounts = new Array(Math.max(...indexes) - offset + 1).fill(0);
  for (const [index, count] of buckets) bucketCounts[index - offset] = count;
  return { offset, bucketCounts };
}

/**
 * One request worth seeing by itself. Times in milliseconds since 1970; ids in hex.
 * @typedef {{method: string, route: string, status: number, user: string, account: string, path: string,
 *   began: number, ended: number, traceId: string, spanId: string, parentId: string,
 *   error?: {type: string, message: string, stack: string}}} Sample
 */

/**
 * Return the body of a traces request.
 * @param {Resource} resource
 * @param {Sample[]} samples
 */
export function traces(resource, samples) {
  const scopeSpans = [{ scope: SCOPE, spans: samples.map(span) }];
  return JSON.stringify({ resourceSpans: [{ resource: described(resource), scopeSpans }] });
}

function span(sample) {
  const attributes = subject(sample);
  attributes.push(text("url.path", sample.path));
  const matched = sample.route !== UNMATCHED;
  if (matched) attributes.push(text("http.route", sample.route));
  const failed = sample.status >= 500;
  if (failed) attributes.push(text("error.type", sample.error?.type ?? String(sample.status)));
  return {
    traceId: sample.traceId,
    spanId: sample.spanId,
    ...(sample.parentId ? { parentSpanId: sample.parentId } : {}),
    name: matched ? `${sample.method} ${sample.route}` : sample.method,
    kind: KIND_SERVER,
    startTimeUnixNano: nano(sample.began),
    endTimeUnixNano: nano(sample.ended),
    attributes,
    status: failed ? { code: STATUS_ERROR } : {},
    ...(sample.error ? { events: [exception(sample)] } : {}),
  };
}

function exception({ error, ended }) {
  const attributes = [
    text("exception.type", error.type),
    text("exception.message", error.message),
  ];
  if (error.stack) attributes.push(text("exception.stacktrace", error.stack));
  return { name: "exception", timeUnixNano: nano(ended), attributes };
}

function subject({ method, status, user, account }) {
  const attributes = [
    text("http.request.method", method),
    { key: "http.response.status_code", value: { intValue: String(status) } },
  ];
  if (user) attributes.push(text("trackside.user", user));
  if (account) attributes.push(text("trackside.account", account));
  return attributes;
}

function described({ service, version, instance }) {
  const attributes = [
    text("service.name", service),
    text("service.instance.id", instance),
    text("telemetry.sdk.name", SCOPE.name),
    text("telemetry.sdk.language", "nodejs"),
    text("telemetry.sdk.version", SCOPE.version),
  ];
  if (version) attributes.push(text("service.version", version));
  return { attributes };
}

/** A half of a surrogate pair is no text: as NUL it makes an id unusable, without spoiling the whole batch. */
function text(key, value) {
  return { key, value: { stringValue: value.replace(LONE_SURROGATE, "\0") } };
}

function nano(milliseconds) {
  return String(BigInt(Math.round(milliseconds)) * 1_000_000n);
}
