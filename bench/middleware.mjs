/**
 * The row of bench/middleware.py for JavaScript: CPU that the client adds to a request of Node's own http server.
 *
 *     node --expose-gc bench/middleware.mjs URL SECONDS CHUNK
 *
 * Two servers in one process, one bare and one that reports, asked in turn over a stream that is no socket; prints the
 * CPU of a bare request and what reporting adds, in microseconds, from the fastest tenth of the turns.
 */

import http from "node:http";
import { Duplex } from "node:stream";
import { wrap } from "../clients/js/src/index.js";

const [url, seconds, chunk] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const REQUEST = "GET /hello/you HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n";
const END = Buffer.from("hello");

const hello = (_, res) => res.end("hello");
const watched = wrap(hello, { url, apiKey: "key", spool: false, route: () => "/hello/{name}" });

/** Return a function that makes requests of a listener, one after another, and ends with the last answer. */
function asker(listener) {
  let answered;
  const wire = new Duplex({
    read() {},
    write(part, _, done) {
      done();
      if (part.subarray(-END.length).equals(END)) answered();
    },
  });
  http.createServer(listener).emit("connection", wire);
  return async (times) => {
    for (let each = 0; each < times; each += 1) {
      await new Promise((resolve) => {
        answered = resolve;
        wire.push(REQUEST);
      });
      await new Promise(setImmediate); // the server's own end of the request
    }
  };
}

function cpu() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

const tenth = (times) => times.sort((one, two) => one - two)[Math.floor(times.length / 10)];
const asks = [asker(hello), asker(watched)];
const times = [[], []];
for (let warm = 0; warm < 20; warm += 1) for (const ask of asks) await ask(chunk);
const until = cpu() + seconds * 1e6;
while (cpu() < until) {
  for (const which of times[0].length % 2 ? [0, 1] : [1, 0]) {
    globalThis.gc?.({ type: "minor" });
    const began = cpu();
    await asks[which](chunk);
    times[which].push((cpu() - began) / chunk);
  }
}
const [bare, reporting] = times.map(tenth);
console.log(bare, reporting - bare);
process.exit(0);
