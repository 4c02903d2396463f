// One server as a page sees it: calls, and who is signed in, for everything on the page.
import { recall, remember } from "./dom.js";

// What may be over when one tries again.
export const isPassing = ({ status }) => !status || status === 408 || status === 429 || status >= 500;

// Random, as 32 hexadecimal digits; crypto.randomUUID is missing on plain http pages.
export const random = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

const request = async (address, method, body, token) => {
  let response, answer;
  try {
    response = await fetch(address, {
      method,
      cache: "no-store",
      signal: AbortSignal.timeout(15000),
      headers: {
        ...(body && { "Content-Type": "application/json" }),
        ...(token && { Authorization: `Bearer ${token}` }),
      },
      body: body && JSON.stringify(body),
    });
    answer = await response.json();
    if (response.ok) return answer;
  } catch {
    // No answer, or none of ours: `status` 0, or that of a proxy.
  }
  const status = response?.ok ? 0 : response?.status;
  const wait = Number(response?.headers.get("Retry-After"));
  throw Object.assign(new Error(answer?.msg), answer, { status, wait });
};

const servers = new Map();

export const serverOf = (base, siteId) => {
  const known = servers.get(base + siteId);
  if (known) return known;
  const ears = new Set();
  const asked = {};
  let signed = recall(base);

  // Who is signed in, `{access_token, user}`, or null.
  const adopt = (value) => {
    const before = signed?.user.id;
    signed = value;
    if (before !== signed?.user.id) for (const hear of [...ears]) hear();
  };
  const keep = (value) => {
    remember(base, value);
    adopt(value);
  };
  addEventListener("storage", ({ key }) => (!key || key === `talkee ${base}`) && adopt(recall(base)));

  const ask = (method, path, body, token) => request(`${base}api/${path}`, method, body, token);

  // Another token for one that is past its time; whether there is one.
  const renew = async (token) => {
    try {
      // Another tab may have been faster.
      if (signed?.access_token === token) keep((await ask("POST", "auth/renew", null, token)).data);
    } catch (error) {
      if (error.status !== 401) throw error;
      if (signed?.access_token === token) keep(null);
    }
    return signed;
  };

  // A call as the person who is signed in.
  const call = async (method, path, body) => {
    const token = signed?.access_token;
    try {
      return await ask(method, path, body, token);
    } catch (error) {
      if (error.status === 401 && token && (await renew(token))) {
        return ask(method, path, body, signed.access_token);
      }
      // A refused preflight looks like a dead network; a GET without headers is told why.
      if (!error.status && (body || token)) await ask("GET", `sites/${siteId}`);
      throw error;
    }
  };

  const server = {
    base, siteId, call, renew,
    links: {},
    get user() {
      return signed?.user;
    },
    get token() {
      return signed?.access_token;
    },
    get isStaff() {
      return /^(moderator|admin)$/.test(signed?.user.kind);
    },
    // `hear()` whenever somebody else is signed in; the answer ends that.
    onPerson: (hear) => {
      ears.add(hear);
      return () => ears.delete(hear);
    },
    // What seldom changes is asked for once.
    once: async (path) => {
      try {
        return (await (asked[path] ??= call("GET", path))).data;
      } catch (error) {
        delete asked[path];
        throw error;
      }
    },
    signIn: async (fields, path = "login") => {
      const lang = navigator.language.slice(0, 2).toLowerCase();
      keep((await call("POST", `auth/${path}`, { ...fields, site_id: Number(siteId), lang })).data);
    },
    signOut: () => {
      call("POST", "auth/logout").catch(() => {}); // forgotten here in any case
      keep(null);
    },
    forget: (token) => signed?.access_token === token && keep(null),
    // A picture that the server drew is loaded from where this script came from: the server's
    // public name may be one that this browser cannot reach or this page's policy does not list.
    picture: ({ id, avatar_url: url }) => {
      const drawn = `api/avatars/${id}.svg`;
      return url.endsWith(`/${drawn}`) ? base + drawn : url;
    },
    // What only the owner can put right: told in the console, and here.
    cure: ({ error, message }) => {
      if (!/^(origin_not_allowed|site_not_found|invalid_s)/.test(error)) return "";
      const line = `talkee-lite site set ${siteId} --add-origin ${location.origin}`;
      const text = `Talkee: ${message}${error[0] === "o" ? ` On the server: ${line}` : ""}`;
      console.error(text);
      return text;
    },
  };
  servers.set(base + siteId, server);
  return server;
};
