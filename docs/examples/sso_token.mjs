// What a site's own server signs, so that whoever is logged in there can speak here.
//
//   SSO_SECRET=… node docs/examples/sso_token.mjs https://talk.example.com 42 "Ann Lee"

import { randomUUID } from "node:crypto";
import { pathToFileURL } from "node:url";

import { SignJWT } from "jose"; // npm install jose

const secret = new TextEncoder().encode(process.env.SSO_SECRET);

// A token for one sign-in of whoever asks your server for a page. `avatar` and `role` may be left out.
export function talkeeToken(audience, userId, { name, avatar, role }) {
  return new SignJWT({ name, avatar, role })
    .setProtectedHeader({ alg: "HS256" })
    .setAudience(audience)
    .setSubject(userId)
    .setJti(randomUUID())
    .setExpirationTime("5 minutes")
    .sign(secret);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [audience, userId, name, role] = process.argv.slice(2);
  console.log(await talkeeToken(audience, userId, { name, role }));
}
