// A plain chat room for any page:
//   <script async src="https://talk.example.com/talkee.js" data-site-id="1" data-chat></script>
// It stands where the tag stands, or in data-container. No library, no cookie, no third party.
(() => {
  "use strict";

  const own = document.currentScript;
  const base = new URL(".", own.src).href;
  const storageKey = `talkee ${base}`;
  // Close codes after which a client may come back by itself (see docs/protocol.md).
  const mayReconnect = (code) => code < 4500 && ![1002, 1003, 1007, 1008, 1009].includes(code);

  const style = `
    :host { display: block; color-scheme: light dark; }
    * { box-sizing: border-box; }
    section {
      display: flex; flex-direction: column; height: 26rem; overflow: hidden;
      font: inherit; line-height: 1.5; color: inherit;
      border: 1px solid color-mix(in srgb, currentColor 18%, transparent); border-radius: 12px;
    }
    ol {
      flex: 1; margin: 0; padding: .75rem 1rem; overflow-y: auto; list-style: none;
      overscroll-behavior: contain;
    }
    li { display: grid; grid-template-columns: 2rem 1fr; column-gap: .75rem; padding: .4rem 0; }
    img { width: 2rem; height: 2rem; border-radius: 8px; grid-row: span 2; display: block; }
    header { display: flex; gap: .5rem; align-items: baseline; min-width: 0; }
    b { font-weight: 600; overflow-wrap: anywhere; }
    time { font-size: .8em; opacity: .65; white-space: nowrap; }
    p { margin: 0; grid-column: 2; overflow-wrap: anywhere; white-space: pre-wrap; }
    .pending p { opacity: .55; }
    .failed p { text-decoration: underline wavy #c33; }
    .empty { display: block; opacity: .65; text-align: center; padding-top: 8rem; }
    [role=status] { padding: .25rem 1rem; font-size: .85em; opacity: .75; min-height: 1.9em; }
    form {
      display: flex; gap: .5rem; padding: .75rem;
      border-top: 1px solid color-mix(in srgb, currentColor 18%, transparent);
    }
    input {
      flex: 1; min-width: 0; font: inherit; color: inherit; padding: .5rem .75rem;
      background: color-mix(in srgb, currentColor 5%, transparent); border-radius: 8px;
      border: 1px solid color-mix(in srgb, currentColor 45%, transparent);
    }
    input[name=name] { flex: 0 1 9rem; }
    button {
      font: inherit; font-weight: 600; padding: .5rem 1rem; border: 0; border-radius: 8px;
      color: #fff; background: #2f6f57; cursor: pointer;
    }
    button:hover { background: #285e4a; }
    :focus-visible { outline: 2px solid #4a9d80; outline-offset: 1px; }
    [hidden] { display: none; }`;

  const encode = (text) =>
    btoa(Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b)).join(""));

  const decode = (data) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    } catch {
      return atob(data); // what btoa("é") made: Latin-1
    }
  };

  // crypto.randomUUID is missing on plain http pages.
  const uuid = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };

  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  const canonicalPath = () => {
    const link = document.querySelector("link[rel=canonical]");
    return new URL(link ? link.href : location.href, location.href).pathname;
  };

  class Room {
    constructor(host, siteId, slug) {
      this.where = `site_id=${siteId}&slug=${encodeURIComponent(slug)}`;
      this.rows = new Map(); // message_id → <li>
      this.seq = 0;
      this.tries = 0;
      this.signed = JSON.parse(localStorage.getItem(storageKey) || "null");
      this.build(host);
      if (this.signed) this.start();
      else this.say("Write something to join; you will be asked for a name only.");
    }

    build(host) {
      const root = host.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(style);
      root.adoptedStyleSheets = [sheet];
      this.list = make("ol", { role: "log", ariaLabel: "Messages", tabIndex: 0 });
      this.status = make("div", { role: "status" });
      this.nameField = make("input", {
        name: "name", maxLength: 64, placeholder: "Your name", ariaLabel: "Your name",
        autocomplete: "nickname", required: true,
      });
      this.textField = make("input", {
        name: "text", maxLength: 4000, placeholder: "Write a message", ariaLabel: "Message",
        autocomplete: "off", required: true,
      });
      const form = make("form", {}, this.nameField, this.textField, make("button", {}, "Send"));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.submit().catch((error) => this.say(error.message));
      });
      root.append(make("section", { ariaLabel: "Chat" }, this.list, this.status, form));
      this.showName();
    }

    showName() {
      this.nameField.hidden = this.nameField.disabled = Boolean(this.signed);
    }

    say(text) {
      this.status.textContent = text;
    }

    async call(method, path, body) {
      const headers = {};
      if (body) headers["Content-Type"] = "application/json";
      if (this.signed) headers.Authorization = `Bearer ${this.signed.access_token}`;
      const response = await fetch(base + path, {
        method, headers, body: body && JSON.stringify(body), cache: "no-store",
      });
      const answer = await response.json();
      if (!response.ok) throw Object.assign(new Error(answer.msg), answer);
      return answer;
    }

    async submit() {
      const text = this.textField.value.trim();
      if (!text) return;
      if (!this.signed) {
        const { data } = await this.call("POST", "api/auth/login", {
          method: "guest", full_name: this.nameField.value,
        });
        this.signed = data;
        localStorage.setItem(storageKey, JSON.stringify(data));
        this.showName();
        this.start();
      }
      this.textField.value = "";
      this.textField.focus();
      const draft = { message_id: uuid(), category: "text", data: encode(text) };
      const row = this.show({
        ...draft, user: this.signed.user, created_at: new Date().toISOString(),
      });
      row.classList.add("pending");
      await this.post(draft, row);
    }

    // Sending is idempotent by message_id: until an answer comes, the same draft goes again.
    async post(draft, row, wait = 1) {
      try {
        this.show(await this.call("POST", `ws/messages?${this.where}`, draft));
      } catch (error) {
        if (error.code === undefined || error.code === 429 || error.code >= 500) {
          this.say("Not sent yet; trying again …");
          await new Promise((resolve) => setTimeout(resolve, wait * 1000));
          return this.post(draft, row, Math.min(30, wait * 2));
        }
        row.classList.replace("pending", "failed");
        if (error.error === "unauthorized") this.signOut();
        throw error;
      }
    }

    show(message) {
      const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
      let row = this.rows.get(message.message_id);
      if (!row) {
        row = make("li");
        this.rows.set(message.message_id, row);
      }
      const when = new Date(message.created_at);
      const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
      row.replaceChildren(
        make("img", { src: message.user.avatar_url, alt: "" }),
        make(
          "header", {}, make("b", {}, message.user.full_name),
          make("time", { dateTime: message.created_at, title: when.toLocaleString() },
            time.format(when)),
        ),
        make("p", {}, decode(message.data)),
      );
      row.className = "";
      row.dataset.seq = message.seq ?? "";
      if (message.seq) this.seq = Math.max(this.seq, message.seq);
      this.place(row);
      this.list.querySelector(".empty")?.remove();
      if (atEnd) this.list.scrollTop = this.list.scrollHeight;
      return row;
    }

    // Rows stand in the order of `seq`; those without one yet stand last.
    place(row) {
      const rank = (li) => Number(li.dataset.seq) || Infinity;
      let next = this.list.lastElementChild;
      while (next && (next === row || rank(next) > rank(row))) next = next.previousElementSibling;
      if (row.parentNode && row.previousElementSibling === next) return;
      if (next) next.after(row);
      else this.list.prepend(row);
    }

    async catchUp() {
      for (let more = true; more; ) {
        const page = this.seq ? `after=${this.seq}` : "filter=latest";
        const answer = await this.call("GET", `ws/messages?${this.where}&${page}`);
        answer.data.forEach((message) => this.show(message));
        this.seq = Math.max(this.seq, answer.has_more ? 0 : answer.seq);
        more = page !== "filter=latest" && answer.has_more;
      }
      if (!this.rows.size && !this.list.children.length) {
        this.list.append(make("li", { className: "empty" }, "Nobody has said anything yet."));
      }
    }

    start() {
      this.say("Connecting …");
      const socket = new WebSocket(`${base.replace(/^http/, "ws")}ws?${this.where}`);
      socket.onopen = () => {
        socket.send(JSON.stringify({ type: "auth", token: this.signed.access_token }));
        this.tries = 0;
        // What comes while the list loads is shown twice at most: rows are found by their id.
        this.catchUp().then(() => this.say(""), (error) => this.say(error.message));
      };
      socket.onmessage = (event) => {
        const message = JSON.parse(event.data);
        if (message.type === "message") this.show(message);
      };
      socket.onclose = (event) => this.closed(event.code);
    }

    async closed(code) {
      if (code === 4402) {
        try {
          this.signed = (await this.call("POST", "api/auth/renew")).data;
          localStorage.setItem(storageKey, JSON.stringify(this.signed));
          return this.start();
        } catch {
          return this.signOut();
        }
      }
      if (code === 4501) return this.signOut();
      if (!mayReconnect(code)) return this.say("The connection was closed; reload the page.");
      const wait = Math.min(30, 2 ** this.tries++) * (0.5 + Math.random());
      this.say("Connection lost; trying again …");
      setTimeout(() => this.start(), wait * 1000);
    }

    signOut() {
      this.signed = null;
      localStorage.removeItem(storageKey);
      this.showName();
      this.say("You are signed out; write something to join again.");
    }
  }

  for (const tag of document.querySelectorAll("script[data-site-id]")) {
    if (tag.talkee || new URL(".", tag.src).href !== base) continue;
    tag.talkee = true;
    const host = document.createElement("div");
    const container = tag.dataset.container && document.querySelector(tag.dataset.container);
    if (container) container.append(host);
    else tag.after(host);
    new Room(host, tag.dataset.siteId, tag.dataset.slug || canonicalPath());
  }
})();
