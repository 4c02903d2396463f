// A plain chat room for any page:
//   <script async src="https://talk.example.com/talkee.js" data-site-id="1" data-chat></script>
// It stands where the tag stands, or in data-container. No library, no cookie, no third party.
(() => {
  "use strict";

  const base = new URL(".", document.currentScript.src).href;
  const storageKey = `talkee ${base}`;
  // What only the owner can put right; visitors are told that there is no chat here.
  const ownersErrors = ["origin_not_allowed", "site_not_found", "invalid_site_id", "invalid_slug"];
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
  const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

  // Lengths are in px and em: a page may have set the size of rem to anything.
  const style = `
    :host { display: block; height: 28em; text-align: start; }
    :host(.off) { height: auto; }
    :host(.off) .log { padding: 24px 16px; }
    * { box-sizing: border-box; margin: 0; }
    section {
      --line: 1px solid color-mix(in srgb, currentColor 18%, transparent);
      display: flex; flex-direction: column; height: 100%; overflow: hidden; line-height: 1.5;
      container-type: inline-size; border: var(--line); border-radius: 12px;
    }
    .log {
      flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain;
      display: flex; flex-direction: column; padding: 4px 16px 16px;
    }
    .empty { margin: auto; text-align: center; opacity: .75; }
    ol { margin-top: auto; padding: 0; list-style: none; }
    li {
      display: grid; grid-template-columns: 36px minmax(0, 1fr); column-gap: 12px;
      padding-top: 14px;
    }
    img { width: 36px; height: 36px; margin-top: 3px; border-radius: 8px; grid-row: span 2; }
    header { display: flex; flex-wrap: wrap; column-gap: 8px; align-items: baseline; }
    b { font-weight: 600; overflow-wrap: anywhere; min-width: 0; }
    time { font-size: .8em; opacity: .75; }
    li p { grid-column: 2; overflow-wrap: anywhere; white-space: pre-wrap; }
    .pending p { opacity: .6; }
    form { display: flex; gap: 8px; align-items: end; padding: 12px 12px 0; border-top: var(--line); }
    input, textarea {
      flex: 1; min-width: 0; min-height: 44px; padding: 9px 12px; resize: none;
      font: inherit; font-size: max(16px, 1em); line-height: 24px; color: inherit;
      background: color-mix(in srgb, currentColor 4%, transparent); border-radius: 8px;
      border: 1px solid color-mix(in srgb, currentColor 55%, transparent);
    }
    input { flex: 0 1 10em; }
    textarea { field-sizing: content; max-height: 140px; }
    ::placeholder { color: inherit; opacity: .75; }
    button {
      min-height: 44px; padding: 0 18px; border: 0; border-radius: 8px; cursor: pointer;
      font: inherit; font-weight: 600; color: #fff; background: #2f6f57;
    }
    button:hover { background: #285e4a; }
    footer {
      display: flex; justify-content: space-between; align-items: center; column-gap: 16px;
      min-height: 44px; padding: 0 16px; font-size: .85em; overflow-wrap: anywhere;
    }
    footer button, footer button:hover {
      flex: none; padding: 0 4px; margin-inline-end: -4px; font-weight: inherit; color: inherit;
      background: none; text-decoration: underline; text-underline-offset: 2px;
    }
    :focus-visible { outline: 2px solid #4a9d80; outline-offset: 1px; }
    input:focus-visible, textarea:focus-visible { outline-offset: -1px; }
    .log:focus-visible { outline-offset: -2px; border-radius: 11px; }
    @container (max-width: 28em) { form { flex-wrap: wrap; } input { flex: 1 0 100%; } }
    [hidden] { display: none; }`;

  const encode = (text) =>
    btoa(Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b)).join(""));

  const decode = (data) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
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

  // A picture that the server drew is loaded from where this script came from: the server's
  // public name may be one that this browser cannot reach or this page's policy does not list.
  const picture = ({ id, avatar_url: url }) => {
    const drawn = `api/avatars/${id}.svg`;
    return url.endsWith(`/${drawn}`) ? base + drawn : url;
  };

  const request = async (method, path, body, token) => {
    const headers = {};
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    let response, answer;
    try {
      const signal = AbortSignal.timeout(15000);
      const options = { method, headers, body: body && JSON.stringify(body), cache: "no-store" };
      response = await fetch(base + path, { ...options, signal });
      answer = await response.json();
      if (response.ok) return answer;
    } catch {
      // No answer, or none of ours: `status` 0, or that of a proxy.
    }
    throw Object.assign(new Error(answer?.msg ?? "The chat cannot be reached right now."), answer, {
      status: response && !response.ok ? response.status : 0,
      retryAfter: Number(response?.headers.get("Retry-After")) || 0,
    });
  };

  const isPassing = ({ status }) => [0, 408, 429].includes(status) || status >= 500;

  // Who is signed in, `{access_token, user}`: one person in all rooms of the page and, where
  // storage is not blocked, in all tabs.
  const rooms = [];
  let signed = null;
  const adopt = (value) => {
    const changed = signed?.user.id !== value?.user.id;
    signed = value;
    if (changed) rooms.forEach((room) => room.personChanged());
  };
  const recall = () => {
    try {
      const value = JSON.parse(localStorage.getItem(storageKey));
      adopt(value?.access_token && value.user ? value : null);
    } catch {
      // Nothing that can be read: this page remembers for itself.
    }
  };
  const keep = (value) => {
    try {
      if (value) localStorage.setItem(storageKey, JSON.stringify(value));
      else localStorage.removeItem(storageKey);
    } catch {
      // As above.
    }
    adopt(value);
  };
  addEventListener("storage", (event) => [storageKey, null].includes(event.key) && recall());

  class Room {
    constructor(host, siteId, slug) {
      this.siteId = siteId;
      this.site = `api/sites/${encodeURIComponent(siteId)}`;
      this.messages = `ws/messages?site_id=${encodeURIComponent(siteId)}`;
      this.messages += `&slug=${encodeURIComponent(slug)}`;
      this.rows = new Map(); // message_id → <li>
      this.gone = new Set(); // ids of those that were taken away
      // Everything up to `seq` in the room's record is shown; it counts within `epoch` alone.
      this.epoch = this.seq = null;
      this.tries = this.failures = this.readyAt = 0;
      this.said = { form: "", link: "" };
      this.outbox = Promise.resolve();
      this.host = host;
      this.build();
      this.connect();
    }

    build() {
      const root = this.host.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet(); // passes where a page's policy forbids <style>
      sheet.replaceSync(style);
      root.adoptedStyleSheets = [sheet];
      this.empty = make("p", { className: "empty" });
      this.list = make("ol");
      const log = { className: "log", role: "log", ariaLabel: "Messages", tabIndex: 0 };
      this.log = make("div", log, this.empty, this.list);
      const name = { placeholder: "Your name", ariaLabel: "Your name", autocomplete: "nickname" };
      this.name = make("input", { ...name, maxLength: 64, required: true });
      const text = { placeholder: "Write a message", ariaLabel: "Message", enterKeyHint: "send" };
      this.text = make("textarea", { ...text, rows: 1, required: true });
      this.form = make("form", {}, this.name, this.text, make("button", {}, "Send"));
      this.status = make("span", { role: "status" });
      this.leave = make("button", { type: "button" }, "Sign out");
      this.foot = make("footer", {}, this.status, this.leave);
      root.append(make("section", { ariaLabel: "Chat" }, this.log, this.form, this.foot));

      this.form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.submit();
      });
      for (const field of [this.name, this.text]) {
        field.addEventListener("keydown", (event) => {
          if (event.key !== "Enter" || event.shiftKey) return;
          event.preventDefault();
          // An Enter that ends a composition chooses a word; Safari tells by the 229 alone.
          if (!event.isComposing && event.keyCode !== 229) this.form.requestSubmit();
        });
      }
      this.leave.addEventListener("click", () => {
        this.call("POST", "api/auth/logout").catch(() => {}); // forgotten here in any case
        keep(null);
      });
      // The newest line stays in sight, unless the reader has scrolled away from it.
      this.atEnd = true;
      this.log.addEventListener("scroll", () => {
        const { scrollHeight, scrollTop, clientHeight } = this.log;
        this.atEnd = scrollHeight - scrollTop - clientHeight < 40;
      });
      new ResizeObserver(() => this.toEnd()).observe(this.log);
      // Whoever comes back to the page need not wait for a timer.
      const wake = () => !document.hidden && this.waiting && this.connect();
      document.addEventListener("visibilitychange", wake);
      addEventListener("online", wake);
      this.host.addEventListener("focusin", () => this.isElsewhere && this.connect());
    }

    toEnd() {
      if (this.atEnd) this.log.scrollTop = this.log.scrollHeight;
    }

    // `part`: "form" for what became of the person's own doing, "link" for the connection.
    say(part, text) {
      this.said[part] = text;
      this.refresh();
    }

    saidOfRoom(room) {
      this.say("link", room?.closed ? "This room is closed." : "");
    }

    refresh() {
      const idle = signed ? `Writing as ${signed.user.full_name}` : "No account is needed.";
      this.status.textContent = this.said.form || this.said.link || idle;
      this.name.hidden = this.name.disabled = Boolean(signed);
      this.leave.hidden = !signed;
      this.form.hidden = this.foot.hidden = this.host.classList.toggle("off", Boolean(this.off));
      this.empty.hidden = this.rows.size > 0;
      const quiet = this.seq === null ? "" : "Nobody has said anything yet.";
      this.empty.textContent = this.off || (signed ? quiet : "Type a name and say hello.");
      this.toEnd();
    }

    personChanged() {
      this.say("form", "");
      this.connect();
    }

    // A request as the person who is signed in; a token that is past its time is renewed.
    async call(method, path, body) {
      const token = signed?.access_token;
      try {
        return await request(method, path, body, token);
      } catch (error) {
        if (error.status === 401 && token && (await this.renew(token))) {
          return request(method, path, body, signed.access_token);
        }
        // A refused preflight looks like a dead network; a GET without headers is told why.
        if (error.status === 0 && (body || token)) await request("GET", this.site);
        throw error;
      }
    }

    async renew(token) {
      try {
        // Another room or tab may have been faster.
        if (signed?.access_token === token) {
          keep((await request("POST", "api/auth/renew", undefined, token)).data);
        }
      } catch (error) {
        if (error.status !== 401) throw error;
        if (signed?.access_token === token) keep(null);
      }
      return signed;
    }

    async submit() {
      if (this.joining || !this.text.value.trim()) return;
      this.joining = this.text.readOnly = true;
      try {
        const login = { method: "guest", full_name: this.name.value };
        if (!signed) keep((await this.call("POST", "api/auth/login", login)).data);
      } catch (error) {
        // What was written stays in its field.
        if (error.suggestion) this.name.value = error.suggestion;
        const hint = error.suggestion ? ` How about “${error.suggestion}”?` : "";
        return ownersErrors.includes(error.error)
          ? this.failed(error)
          : this.say("form", error.message + hint);
      } finally {
        this.joining = this.text.readOnly = false;
      }
      const text = this.text.value.trim();
      const draft = { message_id: uuid(), category: "text", data: encode(text) };
      const { user } = signed;
      this.text.value = "";
      this.text.focus();
      this.atEnd = true;
      this.show({ ...draft, user, created_at: new Date().toISOString() });
      this.refresh();
      // One after the other, so that they arrive in the order of writing.
      this.outbox = this.outbox.then(() => this.deliver(draft, text, user.id));
    }

    // Sending is idempotent by message_id: until an answer comes, the same draft goes again.
    async deliver(draft, text, author) {
      for (let wait = 1; ; wait = Math.min(30, wait * 2)) {
        try {
          if (signed?.user.id !== author) throw new Error("Not sent: you have signed out.");
          this.show(await this.call("POST", this.messages, draft));
          return this.say("form", "");
        } catch (error) {
          if (!isPassing(error)) {
            // Refused: the words go back to where they were typed.
            this.drop(draft.message_id);
            this.text.value = [text, this.text.value].filter(Boolean).join("\n");
            const tooLong = error.error === "too_large" && "That is too long to send at once.";
            return this.say("form", tooLong || error.message);
          }
          this.say("form", "Not sent yet; trying again …");
          const seconds = Math.max(wait, error.retryAfter);
          await new Promise((resolve) => setTimeout((this.hurry = resolve), seconds * 1000));
        }
      }
    }

    show(message) {
      const { message_id: id, user, seq = null } = message;
      const row = this.rows.get(id) ?? make("li");
      if (this.gone.has(id) || row.seq < Infinity) return;
      const when = new Date(message.created_at);
      const today = when.toDateString() === new Date().toDateString();
      const at = { dateTime: message.created_at, title: when.toLocaleString() };
      row.replaceChildren(
        make("img", { src: picture(user), alt: "" }),
        make("header", {}, make("b", {}, user.full_name),
          make("time", at, (today ? clock : calendar).format(when))),
        make("p", { title: at.title }, decode(message.data)),
      );
      Object.assign(row, { seq: seq ?? Infinity, user: user.id });
      row.className = seq ? "" : "pending";
      this.rows.set(id, row);
      // In the order of `seq`; those without one, on their way, stand last.
      let before = this.list.lastElementChild;
      while (before && (before === row || before.seq > row.seq)) {
        before = before.previousElementSibling;
      }
      if (before) before.after(row);
      else this.list.prepend(row);
    }

    drop(id) {
      this.rows.get(id)?.remove();
      this.rows.delete(id);
    }

    // Take away for good the messages for which `isGone` holds.
    sift(isGone) {
      for (const [id, row] of this.rows) {
        if (row.seq === Infinity || !isGone(row, id)) continue;
        this.gone.add(id);
        this.drop(id);
      }
    }

    // A new epoch is another database, such as a backup that was restored: begin anew.
    enter(epoch) {
      if (epoch === this.epoch) return;
      this.epoch = epoch;
      this.seq = null;
      for (const [id, row] of this.rows) if (row.seq < Infinity) this.drop(id);
    }

    async load() {
      let answer = await this.call("GET", `${this.messages}&filter=latest`);
      if (Array.isArray(answer)) answer = { data: answer }; // [compat] legacy_clients
      const { data, seq = 0, epoch = this.epoch } = answer;
      this.enter(epoch);
      const first = data[0]?.seq ?? 0;
      const last = Math.max(seq, data.at(-1)?.seq ?? 0);
      const listed = new Set(data.map((message) => message.message_id));
      // Where more was missed than is listed, what is shown does not join on and goes.
      const from = first > this.seq + 1 ? 0 : first;
      this.sift((row, id) => row.seq >= from && row.seq <= last && !listed.has(id));
      data.forEach((message) => this.show(message));
      this.seq = Math.max(this.seq, last);
      this.refresh();
    }

    // Everything begins and resumes here. What belongs to an earlier `this.socket` is over.
    async connect() {
      this.socket?.close?.();
      const turn = (this.socket = {});
      this.waiting = this.isElsewhere = false;
      this.off = "";
      clearTimeout(this.timer);
      this.refresh();
      try {
        const mayRead = signed || (await request("GET", this.site)).data.public_chat;
        // A socket that fails does not say why; the answer to a request does.
        if (mayRead && this.failures > 1) await this.load();
        if (this.socket !== turn) return;
        if (mayRead) this.listen(signed?.access_token);
        else this.say("link", "");
      } catch (error) {
        if (this.socket === turn) this.failed(error);
      }
    }

    // With `events` the server first says `ready`, and then every change with the next `seq`;
    // `since` brings what was missed.
    listen(token) {
      const address = base.replace(/^http/, "ws") + this.messages.replace("/messages", "");
      const socket = (this.socket = new WebSocket(address));
      let live = false; // whether everything up to `this.seq` is shown
      let newest = 0; // the last `seq` that came before that
      let patience = 20;
      const hear = () => {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.closed(1006, token), patience * 1000);
      };
      const join = async ({ recovered, epoch, ping_interval: seconds, room }) => {
        this.enter(epoch);
        patience = seconds + 15;
        this.failures = 0;
        this.readyAt = Date.now();
        this.hurry?.();
        this.saidOfRoom(room);
        // From here on all comes by itself; the list has what was before.
        if (!recovered) await this.load();
        if (!recovered) this.seq = Math.max(this.seq, newest);
        live = true;
      };
      hear();
      socket.onopen = () => {
        const since = this.seq === null ? undefined : { epoch: this.epoch, seq: this.seq };
        socket.send(JSON.stringify({ type: "auth", token, visitor: !token, events: true, since }));
      };
      socket.onmessage = ({ data }) => {
        if (this.socket !== socket) return;
        const event = JSON.parse(data);
        hear();
        if (event.type === "ready") {
          live = event.recovered;
          join(event).catch((error) => this.socket === socket && this.failed(error));
          return;
        }
        if (event.type === "message") this.show(event);
        if (event.type === "message_deleted") {
          this.gone.add(event.message_id);
          this.drop(event.message_id);
        }
        if (event.type === "messages_removed") this.sift((row) => row.user === event.user_id);
        if (event.type === "room") this.saidOfRoom(event);
        this.refresh();
        if (!event.seq) return;
        newest = Math.max(newest, event.seq);
        // A hole cannot be, unless something between here and the server drops frames: resume.
        const expected = event.type === "ping" ? this.seq : this.seq + 1;
        if (live && event.seq > expected) this.closed(1006, token);
        else if (live) this.seq = Math.max(this.seq, event.seq);
      };
      socket.onclose = ({ code }) => this.socket === socket && this.closed(code, token);
    }

    // By the table of close codes in docs/protocol.md.
    async closed(code, token) {
      this.socket.close();
      const turn = (this.socket = {});
      clearTimeout(this.timer);
      if (!this.readyAt) this.failures += 1;
      else if (Date.now() - this.readyAt > 10000) this.tries = 0;
      this.readyAt = 0;
      if (code === 4501) {
        if (signed?.access_token !== token) return this.connect(); // another tab has a newer one
        keep(null);
        this.say("form", "You are signed out; type a name to go on.");
      } else if (code === 4402) {
        try {
          await this.renew(token);
          if (this.socket === turn) this.connect();
        } catch (error) {
          this.failed(error);
        }
      } else if (code === 4409) {
        this.isElsewhere = true;
        this.say("link", "The chat is open in too many other places; it goes on here when used.");
      } else if (code >= 4500 || [1002, 1003, 1007, 1008, 1009].includes(code)) {
        this.say("link", code === 4503 ? "You may not write here." : "Reload the page to go on.");
      } else {
        this.retry(code === 1013 ? 15 : 0);
      }
    }

    retry(seconds) {
      const jitter = Math.min(30, 2 ** this.tries++) * (0.5 + Math.random());
      this.waiting = true;
      this.timer = setTimeout(() => this.connect(), (seconds + jitter) * 1000);
      this.say("link", "The chat cannot be reached right now; trying again …");
    }

    failed(error) {
      if (isPassing(error)) {
        this.socket?.close?.();
        this.socket = {};
        clearTimeout(this.timer);
        this.retry(error.retryAfter);
      } else if (ownersErrors.includes(error.error)) {
        const cure = `talkee-lite site set ${this.siteId} --add-origin ${location.origin}`;
        const hint = error.error === "origin_not_allowed" ? ` On the server: ${cure}` : "";
        console.error(`Talkee: ${error.message}${hint}`);
        this.off = "There is no chat on this page yet.";
        this.refresh();
      } else if (error.status !== 401) {
        this.say("link", error.message);
      }
    }
  }

  const findContainer = (selector) => {
    try {
      return document.querySelector(selector);
    } catch {
      return null; // not a selector
    }
  };

  // The page's path as people read it: what old pages send comes to the same.
  const pagePath = () => {
    const link = document.querySelector("link[rel=canonical][href]");
    const { pathname } = new URL(link?.href ?? location.href);
    try {
      return decodeURIComponent(pathname);
    } catch {
      return pathname;
    }
  };

  const mount = () => {
    for (const tag of document.querySelectorAll("script[data-site-id][src]")) {
      if (tag.talkee || new URL(".", tag.src).href !== base) continue;
      tag.talkee = true;
      const { container: selector, siteId, slug } = tag.dataset;
      const host = document.createElement("div");
      const container = selector ? findContainer(selector) : tag.closest("head") && document.body;
      if (selector && !container) console.error(`Talkee: nothing here matches ${selector}`);
      if (container) container.append(host);
      else tag.after(host);
      rooms.push(new Room(host, siteId, slug || pagePath()));
    }
  };

  recall();
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", mount);
  else mount();
})();
