// One server as a page sees it: calls, and who is signed in, for everything on the page.
import { recall, remember } from "./dom.js";

// What may be over when one tries again.
export const isPassing = ({ status }) => !/^4(?!08|29)/.test(status);

// Whether somebody decides about what others write.
export const decides = (user) => /^(adm|mod)/.test(user?.kind);

const servers = {};

export const serverOf = (base, siteId) => (servers[base + siteId] ??= serverAt(base, siteId));

const serverAt = (base, siteId) => {
  const ears = new Set();
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
  addEventListener("storage", ({ key }) => key === `talkee ${base}` && adopt(recall(base)));

  const ask = async (method, path, body, token) => {
    let response, answer;
    try {
      response = await fetch(`${base}api/${path}`, {
        method,
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
    const wait = response?.headers.get("Retry-After");
    throw { ...answer, status, wait };
  };

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

  return {
    base, siteId, call, renew,
    query: (slug) => `?site_id=${siteId}&slug=${encodeURIComponent(slug)}`,
    links: {},
    get user() {
      return signed?.user;
    },
    get token() {
      return signed?.access_token;
    },
    get isStaff() {
      return decides(signed?.user);
    },
    // `hear()` whenever somebody else is signed in; the answer ends that.
    onPerson: (hear) => {
      ears.add(hear);
      return () => ears.delete(hear);
    },
    // `way(info)` is awaited for the fields of the call.
    signIn: async (method, way, info, path = "login") => {
      const fields = await way(info);
      const lang = navigator.language.slice(0, 2);
      keep((await call("POST", `auth/${path}`, { ...fields, method, lang, site_id: Number(siteId) })).data);
    },
    signOut: () => {
      call("POST", "auth/logout").catch(() => {}); // forgotten here in any case
      keep(null);
    },
    // Who is signed in may have another role by now.
    meet: (user) => user && user.kind !== signed.user.kind && keep({ ...signed, user }),
    forget: (token) => signed?.access_token === token && keep(null),
    // A picture that the server drew is loaded from where this script came from: the server's
    // public name may be one that this browser cannot reach or this page's policy does not list.
    picture: ({ avatar_url: url }) => url.replace(/.*\/(?=api\/avatars\/\d+\.svg$)/, base),
  };
};
