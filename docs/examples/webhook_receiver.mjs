// A receiver of webhooks with nothing but node: it prints who wrote what.
//
//   WEBHOOK_SECRET=whsec_… node docs/examples/webhook_receiver.mjs 9000

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const key = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");
const toleratedSeconds = 300;
const mostBytes = 1 << 20;

// The ids that came already. A real program keeps them for some days, in its database.
const seen = new Set();

// Whether our server signed this, and just now. `body` is what came, byte for byte.
function isOurs(headers, body) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const expected = Buffer.from("v1," + createHmac("sha256", key).update(signed).digest("base64"));
  const good = (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const given = Buffer.from(one);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  return good && Math.abs(Date.now() / 1000 - Number(timestamp)) < toleratedSeconds;
}

async function read(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length > mostBytes) break;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

// Do something with it: here, print a line.
function tell({ type, data }) {
  const name = data.author?.full_name ?? "Talkee Lite";
  console.log(`${type}: ${name} wrote ${JSON.stringify(data.text)}, see ${data.address}`);
}

createServer(async (request, response) => {
  const body = await read(request);
  if (request.method !== "POST" || !isOurs(request.headers, body)) {
    response.writeHead(401).end();
    return;
  }
  const id = request.headers["webhook-id"];
  if (!seen.has(id)) {
    seen.add(id);
    tell(JSON.parse(body));
  }
  response.writeHead(204).end();
}).listen(Number(process.argv[2]), "127.0.0.1");
