// One line brings comments, and a chat, into any page:
//   <script async src="https://talk.example.com/talkee.js" data-site-id="1" data-chat></script>
// This file only finds where they go; they come when a reader gets near. No cookie, no third party.
(() => {
  const { src, dataset } = document.currentScript;
  const base = new URL(".", src).href;
  const isLocal = location.protocol === "http:" && isSecureContext; // localhost, by any name
  const all = (selector) => [...document.querySelectorAll(selector)];

  // A path as people read it.
  const readable = (slug) => {
    try {
      return decodeURIComponent(slug);
    } catch {
      return slug;
    }
  };

  // The page's: the canonical link's, unless that stayed when the page moved on.
  let [path, canonical] = [];
  const pageUrl = () => {
    const link = document.querySelector("link[rel=canonical][href]")?.href;
    if (path === location.pathname || canonical !== link) [path, canonical] = [location.pathname, link];
    return new URL((path === location.pathname && link) || location);
  };
  const pagePath = () => readable(pageUrl().pathname);

  const sheet = new CSSStyleSheet();
  // Minifiers leave it as it is.
  sheet.replaceSync(`:host(:not([hidden])){display:block!important;width:-moz-available;width:-webkit-fill-available}
:host(:not([data-loaded],[launcher])){min-height:var(--talkee-reserve,18em)!important}
:host(talkee-chat:not([data-loaded],[launcher])){min-height:var(--talkee-height,30em)!important}
:host([launcher]){position:absolute!important;width:0}
:host>button{position:fixed;z-index:var(--talkee-z,2147483000);right:max(20px,env(safe-area-inset-right));bottom:max(20px,env(safe-area-inset-bottom));
width:56px;height:56px;border:1px solid transparent;border-radius:28px;cursor:pointer;background:var(--talkee-accent,#2a6a51);color:var(--talkee-on-accent,#fff)}
:host>button::before{content:"";display:block;width:22px;height:15px;margin:auto;border:2px solid;border-radius:7px 7px 7px 0}
@media print{:host>button{display:none}}`);

  const near = new IntersectionObserver(
    (entries) => entries.forEach(({ isIntersecting, target }) => isIntersecting && target.load()),
    { rootMargin: "600px" },
  );

  class Part extends HTMLElement {
    static observedAttributes = ["site-id", "slug", "lang", "theme", "heading", "invite", "article", "quotes", "sso"];

    connectedCallback() {
      clearTimeout(this.leaving);
      if (this.slug) return; // it was only moved
      if (!this.shadowRoot) this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet];
      this.begin();
    }

    begin() {
      this.slug = readable(this.getAttribute("slug") || "") || pagePath();
      if (this.hasAttribute("launcher")) {
        const button = document.createElement("button");
        Object.assign(button, { type: "button", part: "launcher", ariaLabel: "Chat", onclick: () => this.load() });
        this.shadowRoot.replaceChildren(button);
      } else if (location.hash.startsWith("#talkee-")) this.load();
      else near.observe(this);
    }

    disconnectedCallback() {
      // Moved elsewhere it is back at once.
      this.leaving = setTimeout(() => this.end(), 1000);
    }

    end() {
      near.unobserve(this);
      this.ends?.abort();
      this.slug = this.ends = this.view = null;
    }

    attributeChangedCallback() {
      if (this.slug) this.again();
    }

    // With other attributes, or on another page, it begins anew.
    again() {
      this.end();
      this.removeAttribute("data-loaded");
      this.begin();
    }

    async load() {
      if (this.ends) return;
      near.unobserve(this);
      const ends = (this.ends = new AbortController());
      const options = { "site-id": "1" };
      for (const { name, value } of this.attributes) options[name] = value;
      const pageSlug = document.querySelector("talkee-comments")?.slug ?? pagePath();
      Object.assign(options, { base, slug: this.slug, pageSlug, address: pageUrl().href, ends });
      options.lang ||= document.documentElement.lang || navigator.language;
      try {
        const { mount } = await import(`${base}widget/${this.kind}.js`);
        this.view = await mount(this, options);
      } catch (error) {
        // Who was sent away meanwhile has nothing to say.
        if (!ends.signal.aborted) this.refuse(`Does ${base} run, and does this page's Content-Security-Policy allow it? ${error}`);
      }
    }

    // The owner is told, on their own machine on the page too; readers see nothing, nor a place for it.
    refuse(reason) {
      const text = `Talkee: ${reason}`;
      console.error(text);
      this.shadowRoot.replaceChildren(isLocal ? text : "");
      this.setAttribute("data-loaded", "");
    }

    refresh() {
      this.view?.load();
    }

    signOut() {
      this.view?.server.signOut();
    }
  }

  for (const kind of ["comments", "chat"]) {
    const name = `talkee-${kind}`;
    if (!customElements.get(name)) customElements.define(name, class extends Part { kind = kind; });
  }

  // Once the whole page is there.
  const ready = (run) => {
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", run);
    else run();
  };

  const find = (place) => {
    let found;
    try {
      found = place.nodeType ? place : document.querySelector(place);
    } catch {
      // not a selector
    }
    if (!found) console.error(`Talkee: nothing here matches ${place}`);
    return found;
  };

  const make = (kind, attributes) => {
    const part = document.createElement(`talkee-${kind}`);
    for (const name of [...Part.observedAttributes, "launcher"]) {
      const value = attributes[name.replace("-i", "I")];
      if (value) part.setAttribute(name, value);
    }
    return part;
  };

  // What pages written for Talkee call; the options of its wallets mean nothing here.
  const show = ({ container = "#comments", locale, ...options } = {}) => {
    const lang = locale?.replace(/^zhHan.$/, "zh");
    ready(() => find(container)?.replaceChildren(make("comments", { ...options, lang })));
  };

  // How many comments other pages have, in one call for all of this page.
  const count = async () => {
    const spots = all("[data-talkee-count]");
    const slugOf = (spot) => readable(spot.dataset.talkeeCount);
    const slugs = [...new Set(spots.map(slugOf))].slice(0, 500);
    if (!slugs[0]) return;
    const site_id = Number(dataset.siteId ?? 1);
    const body = JSON.stringify({ site_id, slugs });
    try {
      const response = await fetch(`${base}api/counts`, { method: "POST", body });
      const { data, msg } = await response.json();
      if (!data) throw msg;
      for (const spot of spots) spot.textContent = data[slugOf(spot)] ?? "";
    } catch (error) {
      console.error(`Talkee: no counts: ${error}`);
    }
  };

  const mount = () => {
    for (const tag of all("script[data-site-id][src]")) {
      if (tag.talkee || new URL(".", tag.src).href !== base) continue;
      tag.talkee = true;
      const { container, chat, comments, launcher, ...options } = tag.dataset;
      const place = container ? find(container) : tag.closest("head") && document.body;
      const part = make("comments", options);
      if (comments !== "off") place ? place.append(part) : tag.after(part);
      const slug = chat === "page" ? options.slug : chat || "/";
      if (chat !== undefined) document.body.append(make("chat", { ...options, heading: "", slug, launcher: 1 }));
    }
    count();
  };

  // A page of one program that changes its path is another page; its canonical link may follow late.
  const follow = () => {
    for (const part of all("talkee-comments, talkee-chat")) {
      if (!part.hasAttribute("slug") && part.slug !== pagePath()) part.again?.();
    }
  };
  const moved = () => setTimeout(() => {
    follow();
    count();
  }, 50);
  window.navigation?.addEventListener("currententrychange", moved);
  setInterval(follow, 500);

  // Who selects a sentence may want to talk about it, before the comments have come near.
  document.addEventListener("selectionchange", () => {
    if (!getSelection().isCollapsed) all("talkee-comments:not([quotes])").forEach((part) => part.load());
  });

  window.tijs = show;
  window.Talkee = { methods: {}, install() {}, ...window.Talkee, show, count };

  ready(mount);
})();
