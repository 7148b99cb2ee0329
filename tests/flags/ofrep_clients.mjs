// Asks a running server by the real OFREP providers for node and for browsers; prints what they say as JSON.
// node ofrep_clients.mjs FOLDER URL KEY, where FOLDER holds node_modules.
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, baseUrl, key] = process.argv.slice(2);
const require = createRequire(join(folder, "package.json"));
const headers = [["Authorization", `Bearer ${key}`]];

async function server() {
  const { OpenFeature } = require("@openfeature/server-sdk");
  const { OFREPProvider } = require("@openfeature/ofrep-provider");
  await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl, headers }));
  const client = OpenFeature.getClient();
  return {
    boolean: await client.getBooleanDetails("team/checkout", false, {}),
    string: await client.getStringDetails("colour", "blue", {}),
    ratio: await client.getNumberDetails("ratio", 1, {}),
    limit: await client.getNumberDetails("limit", 1, {}),
    json: await client.getObjectDetails("theme", {}, {}),
    pro: await client.getBooleanDetails("pro", false, { targetingKey: "u_1", plan: "pro" }),
    free: await client.getBooleanDetails("pro", true, { targetingKey: "u_1", plan: "free" }),
    unknown: await client.getBooleanDetails("nope", true, {}),
    mismatch: await client.getBooleanDetails("colour", true, {}),
    userless: await client.getBooleanDetails("half", true, {}),
  };
}

async function web() {
  const { OpenFeature } = require("@openfeature/web-sdk");
  const { OFREPWebProvider } = require("@openfeature/ofrep-web-provider");
  const answers = [];
  const fetchImplementation = async (...given) => {
    const answer = await fetch(...given);
    answers.push(answer.status);
    return answer;
  };
  await OpenFeature.setContext({ targetingKey: "u_1", plan: "pro" });
  const provider = new OFREPWebProvider({ baseUrl, headers, fetchImplementation, disableVisibilityRefresh: true });
  await OpenFeature.setProviderAndWait(provider);
  const client = OpenFeature.getClient();
  const first = client.getBooleanDetails("pro", false);
  await OpenFeature.setContext({ targetingKey: "u_1", plan: "free" }); // the same user: the provider keeps its ETag
  const second = client.getBooleanDetails("pro", true);
  const same = answers.length;
  await OpenFeature.setContext({ targetingKey: "u_1", plan: "free" });
  return {
    boolean: client.getBooleanDetails("team/checkout", false),
    string: client.getStringDetails("colour", "blue"),
    ratio: client.getNumberDetails("ratio", 1),
    limit: client.getNumberDetails("limit", 1),
    json: client.getObjectDetails("theme", {}),
    pro: first,
    free: second,
    unknown: client.getBooleanDetails("nope", true),
    mismatch: client.getBooleanDetails("colour", true),
    statuses: answers,
    again: answers.slice(same),
  };
}

const said = { server: await server(), web: await web() };
process.stdout.write(JSON.stringify(said));
process.exit(0);
