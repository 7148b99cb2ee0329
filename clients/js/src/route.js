/**
 * The template of the route that Express chose, with the templates of the routers and apps it is mounted in.
 *
 * `req.baseUrl` holds what was matched (`/tenants/42`), not the template, and it is set back when a router hands an
 * error on. So both it and `req.route` are watched: when a router is entered, `req.params` are those of its mount and
 * tell which segments vary; when a route is chosen, the template so far is its prefix.
 */

/** Where a request holds its visit. */
export const VISIT = Symbol("trackside.visit");

/** What Express says about one request. */
export class Trail {
  /** @param {any} req */
  constructor(req) {
    this.base = req.baseUrl;
    this.route = req.route;
    this.prefix = "";
    /** @type {{raw: string, template: string}[] | undefined} */
    this.mounts = undefined;
    if (this.base) this.enter(req, this.base);
    if (this.route) this.choose(this.route);
  }

  /** A router is entered, or left again. */
  enter(req, base) {
    this.base = base;
    if (typeof base !== "string") return;
    if (this.mounts === undefined) {
      if (base === "") return;
      this.mounts = [{ raw: "", template: "" }];
    }
    const mounts = this.mounts;
    while (!inside(base, mounts[mounts.length - 1].raw)) mounts.pop();
    const outer = mounts[mounts.length - 1];
    if (outer.raw === base) return;
    mounts.push({ raw: base, template: outer.template + templated(base.slice(outer.raw.length), req.params) });
  }

  /** A route is chosen. */
  choose(route) {
    this.route = route;
    this.prefix = this.mounts === undefined ? "" : this.mounts[this.mounts.length - 1].template;
  }

  /** Return the template, or "" where no route was chosen. */
  template() {
    const path = this.route?.path;
    if (path === undefined || path === null) return typeof this.route === "string" ? this.route : "";
    const text = Array.isArray(path) ? path.map(String).join(",") : String(path);
    return text === "/" && this.prefix ? this.prefix : this.prefix + text;
  }
}

function inside(base, outer) {
  return base.startsWith(outer) && (outer === "" || base.length === outer.length || base[outer.length] === "/");
}

/**
 * Return a matched path with its parameters' names in place of their values, from the right: `/users/users` with
 * `{id: "users"}` is `/users/:id`.
 * @param {string} matched
 * @param {Record<string, string | string[]> | undefined} params
 */
export function templated(matched, params) {
  const values = Object.entries(params ?? {}).reverse();
  if (!values.length) return matched;
  const segments = matched.split("/").map(decoded);
  let right = segments.length;
  for (const [name, value] of values) {
    const parts = (Array.isArray(value) ? value.join("/") : String(value ?? "")).split("/");
    const place = found(segments, parts, right);
    if (place < 0) continue;
    const segment = segments[place];
    const named = parts.length > 1 ? `:${name}` : replaced(segment, parts[0], `:${name}`);
    segments.splice(place, parts.length, named);
    right = place;
  }
  return segments.join("/");
}

/** Return where `parts` stand left of `right`: as whole segments, else one part within a segment, else -1. */
function found(segments, parts, right) {
  if (parts.length === 1 && parts[0] === "") return -1;
  for (let place = right - parts.length; place >= 0; place -= 1) {
    if (parts.every((part, step) => segments[place + step] === part)) return place;
  }
  if (parts.length > 1) return -1;
  for (let place = Math.min(right, segments.length - 1); place >= 0; place -= 1) {
    if (segments[place].includes(parts[0])) return place;
  }
  return -1;
}

function replaced(segment, value, name) {
  const place = segment.lastIndexOf(value);
  return segment.slice(0, place) + name + segment.slice(place + value.length);
}

function decoded(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The properties that stand in for Express' own on a request that is watched: they read and keep what it sets. */
export const WATCHED = {
  baseUrl: {
    get() {
      return this[VISIT].trail.base;
    },
    set(base) {
      this[VISIT].trail.enter(this, base);
    },
    enumerable: true,
    configurable: true,
  },
  route: {
    get() {
      return this[VISIT].trail.route;
    },
    set(route) {
      this[VISIT].trail.choose(route);
    },
    enumerable: true,
    configurable: true,
  },
};
