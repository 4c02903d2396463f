// The reference in node: `ws` with rooms beside node's own HTTP server, storing nothing.
//
// `send` of each message to each socket; a POST is answered with the message. Compression is off,
// as it is by default.
//
//     node ws_rooms.mjs PORT

import { createServer } from "node:http";
import { createRequire } from "node:module";

const { WebSocketServer, WebSocket } = createRequire(process.env.WS_MODULES + "/")("ws");

const AUTHOR = {
  id: 1,
  mixin_user_id: "00000000-0000-0000-0000-000000000001",
  mixin_identity_number: "0",
  full_name: "Guest 1",
  avatar_url: "http://127.0.0.1:8080/api/avatars/1.svg",
  mvm_public_key: "",
  kind: "guest",
  created_at: "2026-01-01T00:00:00.000000Z",
};
const rooms = new Map();

function roomOf(request) {
  const slug = new URL(request.url, "http://localhost").searchParams.get("slug");
  if (!rooms.has(slug)) rooms.set(slug, new Set());
  return rooms.get(slug);
}

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const draft = JSON.parse(Buffer.concat(chunks));
    const message = Buffer.from(JSON.stringify({ type: "message", ...draft, user: AUTHOR }));
    for (const socket of roomOf(request)) {
      if (socket.readyState === WebSocket.OPEN) socket.send(message, { binary: false });
    }
    response.writeHead(200, {
      "Content-Type": "application/json",
      "Content-Length": message.length,
    });
    response.end(message);
  });
});
new WebSocketServer({ server }).on("connection", (socket, request) => {
  const room = roomOf(request);
  room.add(socket);
  socket.on("close", () => room.delete(socket));
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
