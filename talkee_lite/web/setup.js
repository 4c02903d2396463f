// What is set up on this server and what may be missing, as a list; for admins alone.

const DAY = 24 * 60 * 60 * 1000;
const METHODS = {
  guest: "a typed name",
  password: "a user name and a password",
  mvm: "an Ethereum wallet",
  mixin_token: "Mixin",
  sso: "their account on your site",
};
const HOLD = {
  nobody: "Comments appear at once",
  guests: "Comments of guests wait until you approve them",
  everybody: "All comments wait until you approve them",
};
const listed = new Intl.ListFormat("en", { type: "disjunction" });
const joined = new Intl.ListFormat("en");
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

// The token that /admin keeps for this tab, if it does.
export function adminToken(base) {
  try {
    return JSON.parse(sessionStorage.getItem(`talkee-lite admin ${base.pathname}`))?.token ?? null;
  } catch {
    return null;
  }
}

// Fills a <ul>; how many things are missing, or null where nothing could be told.
export async function showSetup(list, base) {
  try {
    const response = await fetch(new URL("api/admin/setup", base), {
      headers: { Authorization: `Bearer ${adminToken(base)}` }, cache: "no-store", credentials: "omit",
    });
    if (!response.ok) return null;
    const items = itemsOf((await response.json()).data);
    list.replaceChildren(...items.map(show));
    return items.filter(([kind]) => kind === "missing").length;
  } catch {
    return null;
  }
}

function show([kind, title, text, code]) {
  const item = document.createElement("li");
  item.className = kind;
  const mark = document.createElement("span");
  mark.className = "mark";
  mark.textContent = { good: "Done", missing: "Missing", choice: "Set" }[kind];
  const head = document.createElement("strong");
  head.textContent = title;
  const said = document.createElement("p");
  said.append(text);
  if (code) {
    const typed = document.createElement("code");
    typed.textContent = code;
    said.append(typed);
  }
  item.append(mark, head, said);
  return item;
}

// Each [good, missing or choice; title; what about it; what to type].
function itemsOf(setup) {
  return [addressOf(setup), ...setup.sites.map(originsOf), backupOf(setup), methodsOf(setup),
    ...setup.sites.map((site) => heldOf(site, setup.sites.length > 1))];
}

function addressOf({ public_url: url }) {
  if (url) return ["good", "Public address", `Readers reach this server at ${url}`];
  return ["missing", "Public address",
    "Only this machine may use the server so far. Set the address that readers will use below"
    + " [server] in talkee.toml, and restart:", 'public_url = "https://talk.example.com"'];
}

function originsOf({ id, name, origins, from_settings: fixed }) {
  const title = `Pages of “${name}”`;
  if (origins.length) return ["good", title, `Allowed: ${joined.format(origins)}`];
  if (fixed) {
    return ["missing", title, `No pages but the server’s own may use site ${id}. Below its [[sites]] in`
      + " talkee.toml, write:", 'origins = ["https://blog.example.com"]'];
  }
  return ["missing", title, `No pages but the server’s own may use site ${id}. Allow yours under Sites in`
    + " Admin, or type:", `talkee-lite site set ${id} --add-origin https://blog.example.com`];
}

function backupOf({ backup_at: time }) {
  const command = "talkee-lite backup /var/backups/talkee/monday.db";
  if (!time) return ["missing", "Backup", "None was made yet. While the server runs, type:", command];
  const days = Math.round((Date.now() - new Date(time)) / DAY);
  const when = relative.format(-Math.max(0, days), "day");
  if (days <= 7) return ["good", "Backup", `The last one was made ${when}.`];
  return ["missing", "Backup", `The last one was made ${when}. Type:`, command];
}

function methodsOf({ methods }) {
  const ways = methods.map((method) => METHODS[method] ?? method);
  if (ways.length) return ["choice", "Signing in", `Readers sign in with ${listed.format(ways)}.`];
  return ["missing", "Signing in", "Nobody can sign in, and so nobody can write. Below [auth] in"
    + " talkee.toml, write:", "guest = true"];
}

function heldOf({ id, name, hold_comments: hold, from_settings: fixed }, named) {
  const title = named ? `Approval on “${name}”` : "Approval";
  const other = hold === "nobody" ? "guests" : "nobody";
  const change = fixed ? `hold_comments = "${other}"` : `talkee-lite site set ${id} --hold-comments ${other}`;
  return ["choice", title, `${HOLD[hold]}. To change it:`, change];
}
