/** What a person should know, on stderr: each kind of thing once in a process's life. */

const told = new Set();
const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f]+/g;

/**
 * Say `message` once for each `kind`; never throws.
 * @param {string} kind
 * @param {string} message
 */
export function tell(kind, message) {
  if (told.has(kind)) return;
  told.add(kind);
  try {
    process.stderr.write(`trackside-client: ${message.replace(UNPRINTABLE, " ").slice(0, 500)}\n`);
  } catch {
    // a closed stderr is no reason to disturb the application
  }
}

/**
 * Return what `make` returns, or undefined where it throws: said once, under `kind`.
 * @template T
 * @param {string} kind
 * @param {() => T} make
 * @returns {T | undefined}
 */
export function guarded(kind, make) {
  try {
    return make();
  } catch (error) {
    tell(kind, `${kind} failed and was left out: ${error}`);
    return undefined;
  }
}
