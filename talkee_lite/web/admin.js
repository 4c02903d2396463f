// The page on which admins sign in, and look after sites and people. No library, no cookie; the
// token is kept for this tab alone.
(() => {
  "use strict";

  const base = new URL(".", document.baseURI);
  const key = `talkee-lite admin ${base.pathname}`;
  const most = 100; // people in one answer
  const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const at = (id) => document.getElementById(id);

  let held = restore(); // {token, method, user}: who is signed in
  let shown = 0; // the id of the person whose sites and people stand here
  let sites = [];
  let asked = ""; // what the list of people was searched for
  let named = 0;
  const cards = { site: new Map(), person: new Map() };

  function restore() {
    try {
      return JSON.parse(sessionStorage.getItem(key));
    } catch {
      return null;
    }
  }

  function keep(value) {
    held = value;
    try {
      if (value) sessionStorage.setItem(key, JSON.stringify(value));
      else sessionStorage.removeItem(key);
    } catch {
      // It is kept as long as the page is open.
    }
  }

  // Calls.

  class Refusal extends Error {
    constructor(status, body) {
      super(body.msg?.replaceAll("`", "") || `The server answered with ${status}.`);
      this.status = status;
      this.code = body.error;
      this.field = body.field;
      this.suggestion = body.suggestion;
    }
  }

  async function call(method, path, body) {
    const headers = {};
    if (held) headers.Authorization = `Bearer ${held.token}`;
    if (body) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(new URL(`api/${path}`, base), {
        method, headers, body: body && JSON.stringify(body), cache: "no-store", credentials: "omit",
      });
    } catch {
      throw new Refusal(0, { msg: "The server cannot be reached. Nothing was changed; try again." });
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer.data;
    if (response.status === 401 && answer.error === "unauthorized") {
      ended("Your sign-in has ended; sign in again. What you typed is still here.");
    }
    throw new Refusal(response.status, answer);
  }

  // Forms.

  function say(element, text) {
    element.textContent = text;
    element.hidden = !text;
  }

  function clearProblems(form) {
    for (const error of form.querySelectorAll(".error")) error.remove();
    for (const input of form.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      describe(input);
    }
    const problem = form.querySelector(".problem");
    if (problem) say(problem, "");
    const done = form.querySelector(".done");
    if (done) done.textContent = "";
  }

  // What is said below an input is said with it.
  function describe(input) {
    const about = [...input.closest(".field").querySelectorAll(".hint, .error")];
    for (const text of about) text.id ||= `about-${++named}`;
    const ids = about.map((text) => text.id).join(" ");
    if (ids) input.setAttribute("aria-describedby", ids);
    else input.removeAttribute("aria-describedby");
  }

  function showProblem(form, text, field, suggestion) {
    const input = field && form.elements[field];
    const place = input && input.closest(".field");
    const said = place ? document.createElement("p") : form.querySelector(".problem");
    say(said, text);
    if (place) {
      said.className = "error";
      said.setAttribute("role", "alert");
      place.append(said);
      input.setAttribute("aria-invalid", "true");
      describe(input);
      input.focus();
    }
    if (suggestion && input) {
      const take = document.createElement("button");
      take.type = "button";
      take.className = "take";
      take.textContent = `Take “${suggestion}”`;
      take.addEventListener("click", () => {
        input.value = suggestion;
        clearProblems(form);
        input.focus();
      });
      said.append(" ", take);
    }
  }

  function showRefusal(form, refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    // That the sign-in has ended is said above.
    if (refusal.code !== "unauthorized") showProblem(form, refusal.message, refusal.field, refusal.suggestion);
  }

  // Does `act` when the form is sent, once at a time; says in it what went wrong.
  function onSend(form, act) {
    for (const input of form.querySelectorAll(".field :is(input, textarea, select)")) {
      describe(input);
    }
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (form.getAttribute("aria-busy") === "true") return;
      clearProblems(form);
      for (const input of form.querySelectorAll("[required]")) {
        if (!input.value.trim()) {
          showProblem(form, "This is needed.", input.name);
          return;
        }
      }
      form.setAttribute("aria-busy", "true");
      try {
        await act(form.elements);
      } catch (refusal) {
        showRefusal(form, refusal);
      } finally {
        form.removeAttribute("aria-busy");
      }
    });
  }

  // Whether somebody means it.
  function sure(title, text, yes) {
    const dialog = at("sure");
    at("sure-title").textContent = title;
    at("sure-text").textContent = text;
    at("yes").textContent = yes;
    dialog.returnValue = "";
    dialog.showModal();
    at("no").focus();
    return new Promise((resolve) => {
      dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    });
  }

  at("yes").addEventListener("click", () => at("sure").close("yes"));
  at("no").addEventListener("click", () => at("sure").close(""));

  // Signing in.

  // The code of a link leaves the address, and with it the history, before anything else is done.
  function takeCode() {
    const [, kind, code] = /^#(new|link)=(.*)$/.exec(location.hash) || [];
    if (!kind) return null;
    history.replaceState(null, "", location.pathname + location.search);
    return { kind, code };
  }

  let ticket = null;

  async function enter() {
    const taken = takeCode();
    if (taken) ticket = taken;
    if (ticket) {
      showEntry(ticket.kind === "new" ? "Become the admin" : "Sign in", ticket.kind);
      if (ticket.kind === "link") at("link").requestSubmit();
      else at("first-name").focus();
    } else if (held) {
      await openDesk().catch((refusal) => {
        if (refusal.status !== 401) showEntry("Sign in", "", refusal.message);
      });
    } else {
      showEntry("Sign in", "");
    }
  }

  // What stands here is hidden, not lost: what was typed in it is there again afterwards.
  function showEntry(title, kind, said = "") {
    at("desk").hidden = true;
    at("who").hidden = true;
    at("entry").hidden = false;
    at("entry-title").textContent = title;
    say(at("said"), said);
    at("first").hidden = kind !== "new";
    at("link").hidden = kind !== "link";
    at("password").hidden = true;
    at("how").hidden = kind === "new";
    if (said) at("entry-title").focus();
    if (!kind) offerForms();
  }

  async function offerForms() {
    try {
      at("password").hidden = !(await offers("password"));
    } catch (refusal) {
      if (at("said").hidden) say(at("said"), elsewhere(refusal).message);
    }
  }

  async function offers(method) {
    const methods = await call("GET", "auth/methods");
    return methods.some((one) => one.method === method);
  }

  // A page of another address gets no admin token, whoever asks.
  function elsewhere(refusal) {
    if (refusal.code === "origin_not_allowed" || refusal.code === "forbidden") {
      refusal.message += ` This page was opened at ${location.origin}: admins come in at the`
        + " address that the link begins with, which is the server's public_url.";
    }
    return refusal;
  }

  async function signIn(body) {
    const before = held;
    held = null;
    let signedIn;
    try {
      signedIn = await call("POST", "auth/login", { ...body, scope: "admin" });
    } catch (refusal) {
      held = before;
      throw elsewhere(refusal);
    }
    ticket = null;
    keep({ token: signedIn.access_token, method: body.method, user: signedIn.user });
    await openDesk();
  }

  function ended(said) {
    keep(null);
    ticket = null;
    showEntry("Sign in", "", said);
  }

  onSend(at("first"), (fields) => signIn({
    method: "admin_link", code: ticket.code, full_name: fields.full_name.value,
  }));

  onSend(at("link"), async () => {
    const retry = at("link").querySelector(".buttons");
    say(at("link-state"), "Signing you in…");
    retry.hidden = true;
    try {
      await signIn({ method: "admin_link", code: ticket.code });
    } catch (refusal) {
      say(at("link-state"), "");
      // Whatever else happened, the link may still be good.
      retry.hidden = refusal.code === "sign_in_failed";
      if (refusal.code === "sign_in_failed") offerForms();
      throw refusal;
    }
  });

  onSend(at("password"), async (fields) => {
    await signIn({
      method: "password", username: fields.username.value, password: fields.password.value,
    });
    fields.password.value = "";
  });

  at("leave").addEventListener("click", async () => {
    try {
      await call("POST", "auth/logout", {});
      ended("You are signed out.");
    } catch (refusal) {
      if (refusal.status !== 401) {
        ended("You are signed out here, but the server could not be told: it ends by itself.");
      }
    }
    forget();
  });

  function forget() {
    shown = 0;
    for (const map of Object.values(cards)) map.clear();
    at("sites").replaceChildren();
    at("people").replaceChildren();
  }

  // Sites and people.

  async function openDesk() {
    const [me, own] = await Promise.all([call("GET", "me"), call("GET", "sites")]);
    const isAdmin = me.kind === "admin";
    const isBack = shown === me.id;
    if (!isBack) forget();
    keep({ ...held, user: me });
    sites = own;
    at("my-name").textContent = me.full_name;
    at("who").querySelector("img").src = avatar(me.id);
    for (const site of sites) showSite(site);
    at("no-sites").hidden = sites.length > 0;
    at("new-site").hidden = !isAdmin;
    at("people-part").hidden = !isAdmin;
    if (isAdmin) checkSetup();
    else at("setup").hidden = true;
    at("entry").hidden = true;
    at("who").hidden = false;
    at("desk").hidden = false;
    shown = me.id;
    at("desk-title").focus();
    at("own-password").hidden = !(held.method === "admin_link" && (await offers("password")));
    if (isAdmin && !isBack) {
      await listPeople("").catch((refusal) => showRefusal(at("search"), refusal));
    }
  }

  function avatar(id) {
    return new URL(`api/avatars/${id}.svg`, base).href;
  }

  function copyOf(template) {
    const card = at(template).content.firstElementChild.cloneNode(true);
    for (const label of card.querySelectorAll(".field label")) {
      const input = label.parentElement.querySelector("input, textarea, select");
      input.id = `input-${++named}`;
      label.htmlFor = input.id;
    }
    return card;
  }

  function linesOf(text) {
    return text.split(/[\s,]+/).filter(Boolean);
  }

  function showSite(site) {
    let card = cards.site.get(site.id);
    const isNew = !card;
    if (isNew) {
      card = copyOf("site-card");
      cards.site.set(site.id, card);
      at("sites").append(card);
      prepareSite(card, site);
    }
    sites = sites.some((one) => one.id === site.id)
      ? sites.map((one) => (one.id === site.id ? site : one))
      : [...sites, site];
    card.querySelector(".title").textContent = site.name;
    card.querySelector(".number").textContent =
      `Site ${site.id}${site.public_chat ? " · chat readable by everybody" : ""}`;
    card.querySelector(".origins").textContent = site.origins.join("\n")
      || "No origins: only this server’s own pages may use it.";
    card.querySelector(".fixed").hidden = !site.from_settings;
    card.querySelector(".change").hidden = site.from_settings;
    if (isNew) fillSite(card, site);
    for (const { select } of cards.person.values()) showPlaces(select);
    return card;
  }

  function fillSite(card, site) {
    const fields = card.querySelector("form").elements;
    fields.name.value = site.name;
    fields.origins.value = site.origins.join("\n");
    fields.public_chat.checked = site.public_chat;
  }

  function prepareSite(card, { id }) {
    const tag = document.createElement("script");
    tag.async = true;
    tag.setAttribute("src", new URL("talkee.js", base).href);
    tag.dataset.siteId = id;
    tag.dataset.chat = "";
    const link = document.createElement("a");
    link.setAttribute("href", new URL(`t/${id}?slug=/`, base).href);
    link.textContent = "Comments";
    card.querySelector("pre code").textContent = `${tag.outerHTML.replaceAll('=""', "")}\n`
      + `<noscript>${link.outerHTML}</noscript>`;
    const form = card.querySelector("form");
    onSend(form, async (fields) => {
      const changed = await call("PUT", `sites/${id}`, siteOf(fields));
      showSite(changed);
      fillSite(card, changed);
      form.querySelector(".done").textContent = "Saved.";
      checkSetup();
    });
  }

  function siteOf(fields) {
    return {
      name: fields.name.value,
      origins: linesOf(fields.origins.value),
      public_chat: fields.public_chat.checked,
    };
  }

  onSend(at("new-site").querySelector("form"), async (fields) => {
    at("site-done").textContent = "";
    const site = await call("POST", "sites", siteOf(fields));
    const card = showSite(site);
    at("no-sites").hidden = true;
    at("new-site").querySelector("form").reset();
    at("new-site").open = false;
    at("site-done").textContent = `“${site.name}” is there, as site ${site.id}.`;
    card.querySelector(".paste").open = true;
    card.querySelector(".paste summary").focus();
    checkSetup();
  });

  async function checkSetup() {
    const { showSetup } = await import(new URL("setup.js", base));
    const missing = await showSetup(at("setup-list"), base);
    at("setup").hidden = missing === null;
    at("setup-state").textContent = missing
      ? `${missing === 1 ? "One thing is" : `${missing} things are`} missing`
      : "Nothing is missing";
  }

  // People.

  async function listPeople(query, after = 0) {
    const given = new URLSearchParams(after ? { q: query, after_id: after } : { q: query });
    const found = await call("GET", `admin/users?${given}`);
    asked = query;
    if (!after) at("people").replaceChildren();
    for (const user of found) at("people").append(showPerson(user).card);
    at("more").hidden = found.length < most;
    at("more").dataset.after = found.length ? found.at(-1).id : 0;
    const count = at("people").childElementCount;
    const all = at("more").hidden ? "" : "The first ";
    at("found").textContent = count
      ? `${all}${count === 1 ? "1 person" : `${count} people`}`
      : "Nobody’s name begins so.";
  }

  onSend(at("search"), (fields) => listPeople(fields.q.value.trim()));
  onSend(at("more"), () => listPeople(asked, at("more").dataset.after));

  function placeName(siteId) {
    if (!siteId) return "the whole server";
    const site = sites.find((one) => one.id === siteId);
    return site ? site.name : `site ${siteId}`;
  }

  function showPlaces(select) {
    const chosen = select.value;
    select.replaceChildren(...[{ id: 0 }, ...sites].map((site) => {
      const option = document.createElement("option");
      option.value = site.id;
      option.textContent = site.id ? `${site.name} (site ${site.id})` : "The whole server";
      return option;
    }));
    if (chosen) select.value = chosen;
  }

  function roleAt(user, siteId) {
    const role = user.roles.find((one) => one.site_id === siteId);
    return role ? role.role : "member";
  }

  function tagOf(text, kind) {
    const tag = document.createElement("span");
    tag.className = `tag ${kind}`;
    tag.textContent = text;
    return tag;
  }

  function untilWhen(time) {
    return time.startsWith("9999") ? "for good" : `until ${moment.format(new Date(time))}`;
  }

  // What was typed about somebody stays when they are shown anew.
  function showPerson(user) {
    let person = cards.person.get(user.id);
    const isNew = !person;
    if (isNew) {
      const card = copyOf("person-card");
      person = { card, user, select: card.querySelector("[name=site_id]") };
      cards.person.set(user.id, person);
      showPlaces(person.select);
      preparePerson(person);
    }
    person.user = user;
    const find = (part) => person.card.querySelector(part);
    find(".title").textContent = user.full_name;
    const tags = user.roles.map(({ site_id: siteId, role }) => tagOf(
      `${role[0].toUpperCase()}${role.slice(1)}${siteId ? ` of ${placeName(siteId)}` : ""}`,
      "staff",
    ));
    if (user.banned_until) tags.push(tagOf(`Banned ${untilWhen(user.banned_until)}`, "banned"));
    const isMe = user.id === held.user.id;
    const about = document.createElement("span");
    about.textContent =
      `${user.kind === "guest" ? "Guest" : "Member"} ${user.id}${isMe ? ", you" : ""}`;
    find(".notes").replaceChildren(about, ...tags);
    find(".role").hidden = user.kind === "guest";
    find(".guest").hidden = user.kind !== "guest";
    find(".ban").hidden = isMe || Boolean(user.banned_until);
    find(".unban").hidden = !user.banned_until;
    if (user.banned_until) {
      find(".until").textContent = `Banned ${untilWhen(user.banned_until)}.`
        + (user.ban_reason ? ` Reason: ${user.ban_reason}` : "");
    }
    if (isNew) find("[name=role]").value = roleAt(user, 0);
    return person;
  }

  function preparePerson(person) {
    const { id } = person.user;
    const find = (part) => person.card.querySelector(part);
    find("img").src = avatar(id);
    person.select.addEventListener("change", () => {
      find("[name=role]").value = roleAt(person.user, Number(person.select.value));
    });

    // Where a button goes away with what it did, its keeper has the focus.
    const follow = (user) => {
      showPerson(user);
      if (document.activeElement === document.body) find("summary").focus();
    };

    onSend(find(".role"), async (fields) => {
      const role = fields.role.value;
      const where = placeName(Number(fields.site_id.value));
      const name = person.user.full_name;
      if (role === "admin" && !(await sure(
        `Make ${name} an admin of ${where}?`,
        Number(fields.site_id.value)
          ? "They can then change the site, and decide about all that is written on it."
          : "They can then do everything that you can, taking this role from you included.",
        "Make them admin",
      ))) return;
      if (role !== "admin" && id === held.user.id && !Number(fields.site_id.value)
        && !(await sure(
          "Give up being an admin?",
          "You cannot take it back: another admin would have to make you one again.",
          "Give it up",
        ))) return;
      const user = await call("PUT", `admin/users/${id}`, {
        role, site_id: Number(fields.site_id.value),
      });
      follow(user);
      find(".role .done").textContent = "Set.";
      if (id === held.user.id) await openDesk();
    });

    onSend(find(".ban"), async (fields) => {
      const length = fields.hours.selectedOptions[0].textContent;
      if (!(await sure(
        `Ban ${person.user.full_name} for ${length}?`,
        "They can write nothing, and what they have open ends at once. You can lift the ban again.",
        "Ban",
      ))) return;
      const user = await call("POST", `admin/users/${id}/ban`, {
        hours: Number(fields.hours.value), reason: fields.reason.value,
      });
      fields.reason.value = "";
      follow(user);
    });

    onSend(find(".unban"), async () => {
      follow(await call("POST", `admin/users/${id}/unban`));
    });

    onSend(find(".signout"), async () => {
      const isMe = id === held.user.id;
      if (!(await sure(
        isMe ? "Sign yourself out everywhere?" : `Sign ${person.user.full_name} out everywhere?`,
        isMe || person.user.kind !== "guest"
          ? "Every session ends at once, on all devices. This cannot be undone."
          : "A guest cannot sign in as the same person again. This cannot be undone.",
        "Sign out",
      ))) return;
      const user = await call("POST", `admin/users/${id}/signout`);
      if (isMe) {
        ended("You are signed out everywhere.");
        forget();
        return;
      }
      follow(user);
      find(".signout .done").textContent = "Signed out.";
    });
  }

  // One's own password, for who came by a link.

  onSend(at("own-password").querySelector("form"), async (fields) => {
    const signedIn = await call("PUT", "me/password", {
      username: fields.username.value, new_password: fields.new_password.value,
    });
    // All that they had signed in with before has ended.
    keep({ token: signedIn.access_token, method: "password", user: signedIn.user });
    fields.new_password.value = "";
    at("own-password").querySelector(".done").textContent =
      "Set. Sign in with it next time; other devices are signed out.";
  });

  // A link may be opened in a tab that stands here already.
  addEventListener("hashchange", enter);
  enter();
})();
