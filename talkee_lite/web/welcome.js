// What makes the page at / live: the line of HTML for a blog, and whether its pages are allowed.
import { adminToken, showSetup } from "./setup.js";

const base = new URL(".", document.baseURI);
const { siteId, publicUrl, fixed } = document.documentElement.dataset;
const server = publicUrl || base.href.replace(/\/$/, "");
const at = (id) => document.getElementById(id);
const local = ["localhost", "127.0.0.1", "[::1]"];
// What the server takes as an origin, and what is safe to paste into a shell.
const plain = /^https?:\/\/([a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(:\d+)?$/;

let origins = null; // of the site, once they are known

// The line.

function quoted(text) {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
}

function scriptLine() {
  const chat = at("chat").checked ? " data-chat" : "";
  return `<script async src="${quoted(server)}/talkee.js" data-site-id="${siteId}"${chat}></script>`;
}

function linkLine(slug) {
  const href = `${quoted(server)}/t/${siteId}?slug=${slug}`;
  return `<noscript><a href="${href}">Comments</a></noscript>`;
}

// A path as the slug in an address.
function slugOf(pathname) {
  try {
    return encodeURIComponent(decodeURIComponent(pathname)).replaceAll("%2F", "/");
  } catch {
    return encodeURIComponent(pathname).replaceAll("%2F", "/");
  }
}

// Names, values and the rest in colours of their own.
function show(code, text) {
  code.replaceChildren(...text.split(/("[^"]*"|<\/?[a-z]+|\s[a-z-]+(?==)|\sdata-chat)/).map((part) => {
    if (!/^("|<|\s[a-z])/.test(part)) return part;
    const span = document.createElement("span");
    span.className = part[0] === '"' ? "value" : part[0] === "<" ? "tag" : "name";
    span.textContent = part;
    return span;
  }));
}

function showLines(blog) {
  for (const figure of document.querySelectorAll(".place .code")) {
    const { slug } = figure.dataset;
    const lines = [scriptLine()];
    if (slug !== undefined) lines.push(linkLine(slug || slugOf(blog?.pathname ?? "/")));
    show(figure.querySelector("code"), lines.join("\n"));
  }
}

// The blog.

// Its address as it was typed, https:// or not; null if it is none yet.
function blogOf(text) {
  const typed = text.trim();
  if (!typed) return null;
  try {
    const url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(typed) ? typed : `https://${typed}`);
    const isName = url.hostname.includes(".") || local.includes(url.hostname) || url.port;
    return plain.test(url.origin) && isName && !url.username ? url : null;
  } catch {
    return null;
  }
}

// As the server decides: its own pages may, while it has no public address those of its machine.
function isAllowed({ origin, hostname }) {
  if (publicUrl ? origin === new URL(publicUrl).origin : local.includes(hostname)) return true;
  return origins.some((pattern) => {
    if (pattern === origin || pattern === "*") return true;
    const [scheme, rest] = pattern.split("://*");
    const start = `${scheme}://`;
    if (rest === undefined || !origin.startsWith(start) || !origin.endsWith(rest)) return false;
    return /^[^./:@]+$/.test(origin.slice(start.length, -rest.length));
  });
}

function showBlog() {
  const typed = at("address").value;
  const blog = blogOf(typed);
  showLines(blog);
  const state = at("allowed");
  const allowed = blog && origins && isAllowed(blog);
  state.className = "state";
  at("allow").hidden = true;
  if (!typed.trim()) {
    state.textContent = "A site’s pages may use this server once you have allowed its address.";
  } else if (!blog) {
    state.textContent = "An address looks like https://blog.example.com";
  } else if (!origins) {
    state.textContent = "";
  } else if (allowed) {
    state.classList.add("good");
    state.textContent = `Pages of ${blog.origin} may use this server.`;
  } else {
    state.classList.add("missing");
    state.textContent = `Pages of ${blog.origin} may not use this server yet.`;
    showCure(blog);
  }
  showReach(blog);
}

// How its pages become allowed: a site that stands in the settings is changed there.
function showCure({ origin }) {
  const allow = at("allow");
  const all = [...origins, origin].map((one) => JSON.stringify(one)).join(", ");
  allow.querySelector("code").textContent =
    fixed ? `origins = [${all}]` : `talkee-lite site set ${siteId} --add-origin ${origin}`;
  if (fixed) {
    allow.querySelector("figcaption").textContent =
      `Write this in talkee.toml, below the [[sites]] with id = ${siteId}, and restart`;
  }
  allow.querySelector(".hint").hidden = Boolean(fixed);
  allow.hidden = false;
}

// Where the line would be right and still nothing would come.
function showReach(blog) {
  const { protocol, hostname } = new URL(server);
  const isLocal = local.includes(hostname);
  let said = "";
  if (isLocal && !(blog && local.includes(blog.hostname))) {
    said = `Only this machine reaches ${server}. Before others can, set public_url in talkee.toml to`
      + " the address that readers will use; the lines above then have it.";
  } else if (!isLocal && protocol === "http:" && (blog?.protocol ?? "https:") === "https:") {
    said = `Browsers load nothing from ${server} into a page that is reached by https: this server`
      + " needs https too.";
  }
  at("reach").textContent = said;
  at("reach").hidden = !said;
}

async function loadOrigins() {
  try {
    const response = await fetch(new URL(`api/sites/${siteId}`, base), { cache: "no-store" });
    if (response.ok) origins = (await response.json()).data.origins;
  } catch {
    // The server is away; what is known of it stays.
  }
  showBlog();
}

// Copying.

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not on https, or not allowed
  }
}

function copyOld(code) {
  getSelection().selectAllChildren(code);
  return document.execCommand("copy");
}

for (const button of document.querySelectorAll(".copy")) {
  const code = button.closest(".code").querySelector("code");
  let later = 0;
  button.addEventListener("click", async () => {
    const done = (await copy(code.textContent)) || copyOld(code);
    const said = done ? "Copied" : "Selected";
    button.textContent = said;
    button.classList.toggle("done", done);
    at("copied").textContent = done ? "Copied." : "It is selected: copy it with the keyboard.";
    clearTimeout(later);
    later = setTimeout(() => {
      button.textContent = "Copy";
      button.classList.remove("done");
      at("copied").textContent = "";
    }, 2500);
  });
}

// Places, as tabs (WAI-ARIA Authoring Practices).

const list = document.querySelector(".tabs");
const tabs = [...list.children].map((link) => {
  const tab = document.createElement("button");
  tab.type = "button";
  tab.id = link.id;
  tab.textContent = link.textContent;
  tab.setAttribute("role", "tab");
  const panel = at(link.hash.slice(1));
  tab.setAttribute("aria-controls", panel.id);
  panel.setAttribute("role", "tabpanel");
  panel.setAttribute("aria-labelledby", tab.id);
  link.replaceWith(tab);
  return { tab, panel };
});
list.setAttribute("role", "tablist");

function choose(chosen) {
  for (const { tab, panel } of tabs) {
    const isChosen = tab === chosen;
    tab.setAttribute("aria-selected", isChosen);
    tab.tabIndex = isChosen ? 0 : -1;
    panel.hidden = !isChosen;
  }
}

for (const [index, { tab }] of tabs.entries()) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -index, End: tabs.length - 1 - index }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = tabs.at((index + step) % tabs.length).tab;
    choose(next);
    next.focus();
  });
}

// What there is to try.

// At another address the server does not know the page as its own, and lets nobody in by it. The
// widget's script stands behind this one, and runs after it.
function leadHome() {
  const said = `You have opened this page at ${location.origin}, which is not the address`;
  if (publicUrl) {
    const home = document.createElement("a");
    home.href = home.textContent = `${publicUrl}/`;
    at("elsewhere").append(`${said} of this server. You can try it at `, home);
  } else {
    at("elsewhere").append(`${said} that the server knows as its own, so that nobody can be let in`
      + " here. If readers will use it, set public_url in talkee.toml to it, and restart.");
  }
  at("elsewhere").hidden = false;
  for (const part of document.querySelectorAll("#try .about, #try .demo")) part.remove();
}

// What is set up, for admins.

async function loadSetup() {
  const missing = await showSetup(at("setup-list"), base);
  at("setup").hidden = missing === null;
}

const isHome = publicUrl ? new URL(publicUrl).origin === location.origin : local.includes(location.hostname);
if (!isHome) leadHome();
choose(tabs[0].tab);
at("address").addEventListener("input", showBlog);
at("chat").addEventListener("change", showBlog);
showBlog();
loadOrigins();
if (adminToken(base)) loadSetup();
// It may have been allowed in another tab meanwhile.
addEventListener("focus", () => {
  loadOrigins();
  if (adminToken(base)) loadSetup();
});
