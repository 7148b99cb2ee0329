/**
 * The latency histogram that Trackside keeps: base 2 exponential, scale 4, in seconds.
 *
 * Bucket `i` holds the durations in `(g^i, g^(i+1)]` with `g = 2^(1/16)`. What is not longer than 10 us counts in
 * `ZERO`, what is longer than an hour in `HIGHEST`. Nothing is lost on the server: its buckets are the same.
 */

export const SCALE = 4;
const PER_DOUBLING = 2 ** SCALE;
const TINY = 10e-6;
const HUGE = 3600;
export const LOWEST = Math.ceil(Math.log2(TINY) * PER_DOUBLING) - 1;
export const HIGHEST = Math.ceil(Math.log2(HUGE) * PER_DOUBLING) - 1;
export const ZERO = LOWEST - 1;
/** The longest duration in seconds of the zero bucket. */
export const ZERO_LIMIT = 2 ** (LOWEST / PER_DOUBLING);

/**
 * Return the bucket of a duration; an exact power of two is the inclusive upper end of its bucket.
 * @param {number} seconds
 * @returns {number}
 */
export function indexOf(seconds) {
  if (!(seconds > ZERO_LIMIT)) return ZERO;
  if (seconds >= HUGE) return HIGHEST;
  return Math.ceil(Math.log2(seconds) * PER_DOUBLING) - 1;
}
