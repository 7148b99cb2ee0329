/** A plain http server that calls itself: `js_app.js URL KEY CALLS`; prints each duration in seconds that was timed. */

import http from "node:http";
import { wrap } from "../../clients/js/src/index.js";

const [url, key, calls] = process.argv.slice(2);
const route = (req) => (req.url === "/nowhere" ? undefined : "/orders/{id}");
const durations = [];

function answer(req, res) {
  const status = req.url === "/nowhere" ? 404 : req.method === "POST" ? 503 : 200;
  setTimeout(() => res.writeHead(status).end(), Number(req.headers["x-wait"]));
}

const options = { url, apiKey: key, service: "js", version: "1", user: "x-user", route, every: 0.2, spool: false };
const watched = wrap(answer, options);
const record = watched.client.record.bind(watched.client);
watched.client.record = (...request) => {
  durations.push(request.at(-1));
  record(...request);
};
const server = http.createServer(watched).listen(0, "127.0.0.1", async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const call = (n) =>
    new Promise((resolve, reject) => {
      const path = n % 10 === 9 ? "/nowhere" : `/orders/${n}`;
      const headers = { "x-user": `u${n % 2}`, "x-wait": String(1 + (n % 40)) };
      const address = { port: server.address().port, path, headers, agent, method: n % 5 === 0 ? "POST" : "GET" };
      http.request(address, (response) => response.resume().on("end", resolve)).on("error", reject).end();
    });
  await Promise.all(Array.from({ length: Number(calls) }, (_, n) => call(n)));
  agent.destroy();
  server.close();
  process.stdout.write(JSON.stringify(durations));
});
