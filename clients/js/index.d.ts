import type { IncomingMessage, ServerResponse } from "node:http";

type Id = string | number | bigint | null | undefined;

/** Who calls: the name of a request header, or a function that is asked when the response is over. */
export type Reader = string | ((req: any, res: any) => Id);

export interface Options {
  /** Trackside's address; else `TRACKSIDE_URL`. */
  url?: string;
  /** A key of kind `ingest` or `server`; else `TRACKSIDE_API_KEY`. */
  apiKey?: string;
  /** Else `TRACKSIDE_SERVICE`, else `OTEL_SERVICE_NAME`, else the name in package.json when started by npm. */
  service?: string;
  /** Else `TRACKSIDE_SERVICE_VERSION`, else the version in package.json when started by npm. */
  version?: string;
  user?: Reader;
  account?: Reader;
  /** The route's template. Needed for plain http servers; wins over Express' own where it returns text. */
  route?: (req: any, res: any) => string | null | undefined;
  /** Seconds between flushes, 0.05 to 60; 5 if not told, and always up to a fifth longer. */
  every?: number;
  /** Series (method, route, status, user, account) in one batch, 10 to 20,000; 1000 if not told. */
  series?: number;
  /** Failed and unmatched requests shown by themselves per flush, at most 1000; 20 if not told, 0 for none. */
  spans?: number;
  /** Send the stack of an error with it; false if not told. */
  stackTraces?: boolean;
  /** Seconds that one delivery may take, 0.1 to 60; 10 if not told. */
  timeout?: number;
  /** Where the folder of what waits is made (the system's temporary folder if not told); false: memory alone.
   * Else `TRACKSIDE_SPOOL`, where `off` is false. */
  spool?: string | false;
}

/** The counts of this process. */
export class Client {
  constructor(options?: Options);
  /** False where `url` or `apiKey` is missing: nothing is counted. */
  readonly enabled: boolean;
  /** Count one request, for servers that no middleware fits. */
  record(method: string, route: string, status: number, user: string, account: string, seconds: number): void;
  /** Send all that was counted; resolved once Trackside or the disk has it. Never rejects. */
  flush(): Promise<void>;
  /** Flush, and stop. */
  close(): Promise<void>;
}

export interface Middleware {
  (req: any, res: any, next: (error?: any) => void): void;
  readonly client: Client;
}

export interface Listener<Req = IncomingMessage, Res = ServerResponse> {
  (req: Req, res: Res): unknown;
  readonly client: Client;
}

/** Middleware for Express 4 and 5; use it before everything else. */
export function trackside(options?: Options | Client): Middleware;
export default trackside;

/** A listener for `http.createServer` that times what `listener` does. */
export function wrap<Req = IncomingMessage, Res = ServerResponse>(
  listener: (req: Req, res: Res) => unknown,
  options?: Options | Client,
): Listener<Req, Res>;

/** Express error middleware, used after all routes: shows the error with the failed request, and hands it on. */
export function noteError(error: any, req: any, res: any, next: (error?: any) => void): void;
