// A plain chat room for any page:
//   <script async src="https://talk.example.com/talkee.js" data-site-id="1" data-chat></script>
// It stands where the tag stands, or in data-container. No library, no cookie, no third party.
(() => {
  "use strict";

  const base = new URL(".", document.currentScript.src).href;
  const storageKey = `talkee ${base}`;
  const blankName = "A name is all it takes.";
  // What the owner must put right; visitors are only told that there is no chat here.
  const ownersErrors = ["origin_not_allowed", "site_not_found", "invalid_site_id", "invalid_slug"];
  const mostRows = 500;
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

  // Lengths in px and em: a page may have set the size of rem to anything.
  const style = `
    :host { display: block; height: 28em; text-align: start; }
    * { box-sizing: border-box; }
    section {
      --line: color-mix(in srgb, currentColor 18%, transparent);
      display: flex; flex-direction: column; height: 100%; overflow: hidden;
      container-type: inline-size; line-height: 1.5;
      border: 1px solid var(--line); border-radius: 12px;
    }
    .log {
      flex: 1; min-height: 0; overflow-y: auto; overscroll-behavior: contain;
      display: flex; flex-direction: column; padding: 4px 16px 16px;
    }
    .empty { margin: auto; text-align: center; opacity: .75; }
    ol { margin: auto 0 0; padding: 0; list-style: none; }
    li {
      display: grid; grid-template-columns: 36px minmax(0, 1fr); column-gap: 12px;
      padding-top: 14px;
    }
    li.more { padding-top: 2px; }
    .more img, .more header { display: none; }
    img { width: 36px; height: 36px; margin-top: 3px; border-radius: 8px; grid-row: span 2; }
    header { display: flex; flex-wrap: wrap; column-gap: 8px; align-items: baseline; }
    b { font-weight: 600; overflow-wrap: anywhere; min-width: 0; }
    time { font-size: .8em; opacity: .75; }
    p { margin: 0; grid-column: 2; overflow-wrap: anywhere; white-space: pre-wrap; }
    .pending p { opacity: .6; }
    form {
      display: flex; gap: 8px; align-items: flex-end; padding: 12px 12px 0;
      border-top: 1px solid var(--line);
    }
    input, textarea {
      flex: 1; min-width: 0; min-height: 44px; margin: 0; padding: 9px 12px; resize: none;
      font: inherit; font-size: max(16px, 1em); line-height: 24px; color: inherit;
      background: color-mix(in srgb, currentColor 4%, transparent); border-radius: 8px;
      border: 1px solid color-mix(in srgb, currentColor 55%, transparent);
    }
    input { flex: 0 1 10em; }
    textarea { field-sizing: content; max-height: 140px; }
    ::placeholder { color: inherit; opacity: .75; }
    button {
      min-height: 44px; margin: 0; padding: 0 18px; border: 0; border-radius: 8px;
      font: inherit; font-weight: 600; color: #fff; background: #2f6f57; cursor: pointer;
    }
    button:hover { background: #285e4a; }
    footer {
      display: flex; flex-wrap: wrap; justify-content: space-between; align-items: center;
      column-gap: 16px; min-height: 44px; padding: 0 16px; font-size: .85em;
    }
    footer button, footer button:hover {
      padding: 0 4px; margin-inline-end: -4px; font-weight: inherit; color: inherit;
      background: none; text-decoration: underline; text-underline-offset: 2px;
    }
    :focus-visible { outline: 2px solid #4a9d80; outline-offset: 1px; }
    .log:focus-visible { outline-offset: -2px; border-radius: 11px; }
    @container (max-width: 28em) {
      form { flex-wrap: wrap; }
      input { flex: 1 0 100%; }
    }
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

  // Pictures that the server drew come from where this script came from: `public_url` may be a
  // name that this browser cannot reach, or that the page's policy does not list.
  const avatar = ({ id, avatar_url: url }) => {
    const drawn = `api/avatars/${id}.svg`;
    return url.endsWith(`/${drawn}`) ? base + drawn : url;
  };

  // Who is signed in: shared by all rooms of the page and, where storage works, by all its tabs.
  const rooms = [];
  let signed = null;
  const recall = () => {
    try {
      const value = JSON.parse(localStorage.getItem(storageKey));
      return value && value.access_token && value.user ? value : null;
    } catch {
      return signed; // storage is blocked: this page alone remembers
    }
  };
  const adopt = (value) => {
    const changed = signed?.user.id !== value?.user.id;
    signed = value;
    if (changed) rooms.forEach((room) => room.personChanged());
  };
  const keep = (value) => {
    try {
      if (value) localStorage.setItem(storageKey, JSON.stringify(value));
      else localStorage.removeItem(storageKey);
    } catch {
      // See above.
    }
    adopt(value);
  };

  class Room {
    constructor(host, siteId, slug) {
      this.site = `api/sites/${encodeURIComponent(siteId)}`;
      this.siteId = siteId;
      this.where = `site_id=${encodeURIComponent(siteId)}&slug=${encodeURIComponent(slug)}`;
      this.host = host;
      this.rows = new Map(); // message_id → <li>
      this.deleted = new Set();
      this.said = { form: "", link: "" };
      this.epoch = null; // The place in the room's record up to which everything is shown:
      this.seq = null; // `seq` counts its changes, and means something within `epoch` alone.
      this.tries = this.failures = this.readyAt = 0;
      this.stopped = this.joining = false;
      this.outbox = Promise.resolve();
      this.build();
    }

    build() {
      const root = this.host.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet(); // passes where the page's policy forbids <style>
      sheet.replaceSync(style);
      root.adoptedStyleSheets = [sheet];
      this.empty = make("p", { className: "empty" });
      this.list = make("ol");
      this.log = make("div", { className: "log", role: "log", ariaLabel: "Messages", tabIndex: 0 });
      this.log.append(this.empty, this.list);
      this.name = make("input", {
        maxLength: 64, placeholder: "Your name", ariaLabel: "Your name", autocomplete: "nickname",
        required: true,
      });
      this.text = make("textarea", {
        rows: 1, placeholder: "Write a message", ariaLabel: "Message", enterKeyHint: "send",
        required: true,
      });
      this.form = make("form", {}, this.name, this.text, make("button", {}, "Send"));
      this.status = make("span", { role: "status" });
      this.leave = make("button", { type: "button" }, "Sign out");
      this.foot = make("footer", {}, this.status, this.leave);
      root.append(make("section", { ariaLabel: "Chat" }, this.log, this.form, this.foot));

      this.form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.submit();
      });
      this.form.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || event.shiftKey || event.target === this.form.lastChild) return;
        event.preventDefault();
        // That Enter may only choose a word; Safari tells by nothing but the 229.
        if (!event.isComposing && event.keyCode !== 229) this.form.requestSubmit();
      });
      this.leave.addEventListener("click", () => {
        this.call("POST", "api/auth/logout").catch(() => {}); // the page forgets it either way
        keep(null);
      });
      // The newest line stays in sight, unless the reader has scrolled away from it.
      this.atEnd = true;
      this.log.addEventListener("scroll", () => {
        const { scrollHeight, scrollTop, clientHeight } = this.log;
        this.atEnd = scrollHeight - scrollTop - clientHeight < 40;
      });
      new ResizeObserver(() => this.toEnd()).observe(this.log);
      // Rather than wait for a timer: try again when there is reason to hope.
      const wake = () => !document.hidden && this.waiting && this.connect();
      addEventListener("online", wake);
      document.addEventListener("visibilitychange", wake);
      this.host.addEventListener("focusin", () => this.waiting === "use" && this.connect());
      this.refresh();
    }

    toEnd() {
      if (this.atEnd) this.log.scrollTop = this.log.scrollHeight;
    }

    say(part, text) {
      this.said[part] = text;
      this.refresh();
    }

    refresh() {
      const person = signed ? `Writing as ${signed.user.full_name}` : blankName;
      this.status.textContent = this.said.form || this.said.link || person;
      this.name.hidden = this.name.disabled = Boolean(signed);
      this.leave.hidden = !signed;
      this.form.hidden = this.foot.hidden = this.stopped;
      this.empty.hidden = this.rows.size > 0;
      if (this.stopped) this.empty.textContent = "There is no chat on this page yet.";
      else if (!signed) this.empty.textContent = "Type a name, and say hello.";
      else this.empty.textContent = this.seq === null ? "" : "Nobody has said anything yet.";
      this.toEnd();
    }

    // One call to the server; throws an Error with `status` (0: no answer), `error` and the like.
    async call(method, path, body, again = true) {
      const headers = {};
      const token = signed?.access_token;
      if (body) headers["Content-Type"] = "application/json";
      if (token) headers.Authorization = `Bearer ${token}`;
      let response, answer;
      try {
        response = await fetch(base + path, {
          method, headers, body: body && JSON.stringify(body), cache: "no-store",
          signal: AbortSignal.timeout(15000),
        });
        answer = await response.json();
      } catch {
        if (!response && (body || token)) await this.ask();
        answer = {};
      }
      if (response?.ok && Object.keys(answer).length) return answer;
      if (response?.status === 401 && token && again && (await this.renew(token))) {
        return this.call(method, path, body, false);
      }
      throw Object.assign(new Error(answer.msg || "The chat cannot be reached right now."), answer, {
        status: response && !response.ok ? response.status : 0,
        retryAfter: Number(response?.headers.get("Retry-After")) || 0,
      });
    }

    // A refused preflight looks like a dead network; a GET without headers is told the reason.
    async ask() {
      const response = await fetch(base + this.site).catch(() => null);
      const answer = (await response?.json().catch(() => null)) ?? {};
      if (response?.status === 403) throw Object.assign(new Error(answer.msg), answer, { status: 403 });
    }

    // A new token for one that is past its time; false once nobody is signed in.
    async renew(token) {
      if (signed?.access_token !== token) return Boolean(signed); // another room or tab was faster
      const path = "api/auth/renew";
      try {
        keep((await this.call("POST", path, undefined, false)).data);
      } catch (error) {
        if (error.status !== 401) throw error;
        if (signed?.access_token === token) keep(null);
      }
      return Boolean(signed);
    }

    async submit() {
      if (this.joining || !this.text.value.trim()) return;
      if (!signed) {
        this.joining = true;
        try {
          const typed = { method: "guest", full_name: this.name.value };
          keep((await this.call("POST", "api/auth/login", typed)).data);
        } catch (error) {
          // What was written stays in its field.
          if (!error.suggestion) return this.say("form", error.message);
          this.name.value = error.suggestion;
          return this.say("form", `${error.message} How about “${error.suggestion}”?`);
        } finally {
          this.joining = false;
        }
      }
      const text = this.text.value.trim();
      this.text.value = "";
      this.text.focus();
      this.say("form", "");
      const draft = { message_id: uuid(), category: "text", data: encode(text) };
      const user = signed.user;
      this.atEnd = true;
      this.show({ ...draft, user, created_at: new Date().toISOString() });
      this.refresh();
      // One after the other, so that they arrive in the order of writing.
      this.outbox = this.outbox.then(() => this.deliver(draft, user.id, text));
    }

    // Sending is idempotent by message_id: until an answer comes, the same draft goes again.
    async deliver(draft, author, text) {
      for (let wait = 1; ; wait = Math.min(30, wait * 2)) {
        let error = new Error("Not sent: you are signed out.");
        try {
          if (signed?.user.id === author) {
            this.show(await this.call("POST", `ws/messages?${this.where}`, draft));
            return this.say("form", "");
          }
        } catch (caught) {
          error = caught;
        }
        if (![0, 408, 429].includes(error.status) && !(error.status >= 500)) {
          // Refused: the words go back to where they were typed.
          this.drop(draft.message_id);
          this.text.value = [text, this.text.value].filter(Boolean).join("\n");
          const tooLong = error.error === "too_large" && "That is too long to send at once.";
          return this.say("form", tooLong || error.message);
        }
        this.say("form", "Not sent yet; trying again …");
        await new Promise((resolve) => {
          this.hurry = resolve;
          setTimeout(resolve, Math.max(wait, error.retryAfter) * 1000);
        });
      }
    }

    show(message) {
      const { message_id: id, seq, user } = message;
      let row = this.rows.get(id);
      if (this.deleted.has(id) || (row && row.seq !== Infinity)) return;
      const when = new Date(message.created_at);
      const today = when.toDateString() === new Date().toDateString();
      const at = { dateTime: message.created_at, title: when.toLocaleString() };
      const shortly = today ? clock.format(when) : `${day.format(when)}, ${clock.format(when)}`;
      row ??= make("li");
      row.replaceChildren(
        make("img", { src: avatar(user), alt: "" }),
        make("header", {}, make("b", {}, user.full_name), make("time", at, shortly)),
        make("p", { title: at.title }, decode(message.data)),
      );
      row.className = seq ? "" : "pending";
      Object.assign(row, { seq: seq ?? Infinity, user: user.id, when });
      this.rows.set(id, row);
      // Rows stand in the order of `seq`; those on their way stand last.
      const old = row.nextElementSibling;
      let before = this.list.lastElementChild;
      while (before && (before === row || before.seq > row.seq)) before = before.previousElementSibling;
      if (before) before.after(row);
      else this.list.prepend(row);
      [row, row.nextElementSibling, old].forEach((li) => this.group(li));
      for (const [first, li] of this.atEnd && this.rows.size > mostRows ? this.rows : []) {
        if (this.rows.size <= mostRows || li.seq === Infinity) break;
        this.drop(first);
      }
    }

    // A person's next line within five minutes stands below the last one without a name.
    group(row) {
      const before = row?.previousElementSibling;
      const near = before && row.user === before.user && row.when - before.when < 300000;
      row?.classList.toggle("more", Boolean(near));
    }

    drop(id) {
      const row = this.rows.get(id);
      const next = row?.nextElementSibling;
      row?.remove();
      this.rows.delete(id);
      this.group(next);
    }
