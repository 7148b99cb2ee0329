// Where a time axis has its ticks, in the member's zone, and how numbers are written beside a value axis.
const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const STEPS = [1, 2, 5, 10, 15, 30].map((n) => n * MINUTE).concat([1, 2, 3, 6, 12].map((n) => n * HOUR),
  [1, 2, 7, 14, 28, 91, 182, 365].map((n) => n * DAY));
const formats = new Map();

function format(zone, options) {
  const key = zone + JSON.stringify(options);
  if (!formats.has(key)) {
    let made;
    try { made = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone }); }
    catch { made = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" }); }
    formats.set(key, made);
  }
  return formats.get(key);
}

/** Return how far the zone's clocks are ahead of UTC at a moment, in milliseconds. */
function ahead(at, zone) {
  const parts = format(zone, { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric",
    second: "numeric", hourCycle: "h23" }).formatToParts(at);
  const get = (type) => Number(parts.find((part) => part.type === type).value);
  return Date.UTC(get("year"), get("month") - 1, get("day"), get("hour"), get("minute"), get("second")) - Math.floor(at / 1000) * 1000;
}

/** Return at most `count` round moments between two times: whole minutes, hours or midnights of the zone. */
export function timeTicks(from, to, count, zone) {
  const step = STEPS.find((each) => (to - from) / each <= count) ?? STEPS.at(-1);
  const shift = ahead(from, zone);
  const ticks = [];
  for (let at = Math.ceil((from + shift) / step) * step - shift; at <= to; at += step) {
    const value = step >= HOUR ? at - (ahead(at, zone) - shift) : at; // a change of the clocks moves what follows
    if (value < from || value > to) continue;
    ticks.push({ value, label: label(value, step, zone) });
  }
  return ticks;
}

function label(at, step, zone) {
  const midnight = (at + ahead(at, zone)) % DAY === 0;
  if (step >= 28 * DAY) return format(zone, { month: "short", year: "numeric" }).format(at);
  if (step >= DAY || midnight) return format(zone, { day: "numeric", month: "short" }).format(at);
  return format(zone, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(at);
}

const numbers = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const compact = { format: (value) => numbers.format(value).replace("K", "k") };

/** Return a value of the axis, short, in the chart's unit. */
export function axisNumber(value, unit) {
  if (unit === "%") return `${compact.format(value)}%`;
  if (unit === "ms") return value >= 1000 ? `${compact.format(value / 1000)} s` : `${compact.format(value)} ms`;
  if (unit === "bytes") {
    const units = ["B", "kB", "MB", "GB", "TB"];
    const place = value ? Math.min(Math.floor(Math.log10(Math.abs(value)) / 3), units.length - 1) : 0;
    return `${compact.format(value / 1000 ** Math.max(place, 0))} ${units[Math.max(place, 0)]}`;
  }
  return compact.format(value);
}
