// A chat room: in the page, or in a sheet that a button opens.
import { composerOf, pageOf } from "./composer.js";
import { arrange, fill, make, show } from "./dom.js";
import { listen } from "./link.js";
import { EMPTY_ROOM, dropped, heard, listed, older, sending, settled, trimmed } from "./room.js";
import { isPassing } from "./server.js";
import { openView } from "./view.js";

const MOST = 400; // messages in the page
const WINDOW = 900000; // 15 minutes: for so long people may delete what they wrote
const NEAR = 300000; // 5 minutes: what follows so soon needs no name

// A random UUID, as an address of the browser's own ends with (W3C File API, section 8.4):
// crypto.randomUUID is missing on plain http pages.
const random = () => URL.createObjectURL(new Blob()).slice(-36);

const encode = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

const decode = (data) => {
  const bytes = atob(data);
  try {
    return decodeURIComponent(escape(bytes)); // UTF-8
  } catch {
    return bytes; // what btoa("é") made: Latin-1
  }
};

// Text with its addresses as links; nothing of it becomes markup.
const linked = (text) =>
  text.split(/(\bhttps?:\/\/[^\s<>"]*[^\s<>"'.,:;!?)\]])/).map((part, n) =>
    n % 2 ? make("a", { href: part, rel: "nofollow ugc", target: "_blank" }, part) : part);

const timeOf = ({ created_at: time }) => Date.parse(time);
const dayOf = (item) => new Date(timeOf(item)).toDateString();

export const mount = async (host, options) => {
  const view = await openView(host, options, true);
  const { server, t, section, status, query, button, until, on, observe, say, draw, load } = view;
  const { slug, launcher: isSheet, invite = "" } = options;
  const clock = t.format({ timeStyle: "short" });
  const day = t.format({ dateStyle: "full" });
  const rows = new Map(); // message_id, or a day → its row
  let state = EMPTY_ROOM;
  let isOpen = true;
  let atEnd = true;
  let unread = 0;
  let waiting = [];
  let keeping = null; // `{from}` while a stretch is chosen; the rows look at the difference
  let isPublic, isClosed, isSending, again, speaking;
  let mark; // of the sheet's entry in the browser's history

  const people = make("span.faint.people");
  const keep = button("", () => setKeeping(!keeping && {}));
  const quiet = make("p.day");
  const empty = make("p.empty");
  const entry = make("div", { hidden: true }, make("p", {}, t("come")), button("enter", () => composer.run(true), "main"));
  const more = button("", () => extend(), "more");
  const list = make("ol");
  const log = make("div.log", {
    role: "log", ariaLabel: t("log"), ariaLive: "off", tabIndex: 0,
    scroll: () => {
      atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      if (atEnd) see();
      else if (log.scrollTop < 200 && state.hasOlder) extend();
    },
  }, more, empty, entry, list, quiet);
  const pill = button("", () => {
    atEnd = true;
    see();
  }, "fresh");
  const voice = make("p.unseen", { ariaLive: "polite" });
  const composer = composerOf(view, {
    label: t("say"), key: `chat ${slug}`, isChat: true, send: (text) => post(text),
  });
  const close = isSheet && button("×", () => toggle(), "close", { ariaLabel: t("close") });
  const box = make(`div.chat${isSheet ? ".sheet" : ""}`, { tabIndex: -1 },
    make("div.top", {}, make("h2.heading", {}, options.heading || t("chat")), people, keep, close),
    status, make("div.talk", {}, log, pill), composer.element, voice);

  // The sheet, and the button that opens it.
  const count = make("span.count");
  const launcher = make("button.launcher", { type: "button", click: () => toggle() }, count);
  const fit = () => {
    // What the keyboard leaves of a phone's screen.
    const { height, offsetTop } = visualViewport;
    box.style.cssText = `--height:${height}px;--top:${offsetTop}px`;
  };
  const opened = () => {
    // On a phone the sheet covers the page: the back button closes it.
    if (matchMedia("(max-width: 30em)").matches) history.pushState({ ...history.state, talkee: (mark = random()) }, "");
    fit();
    atEnd = true;
    see();
    composer.focus();
  };
  const isMarked = () => history.state?.talkee === mark;
  const toggle = (isBack) => {
    if (!isBack && mark && isMarked()) return history.back();
    mark = null;
    isOpen = !isOpen;
    show(box, isOpen);
    show(launcher, !isOpen);
    if (isOpen) opened();
    else launcher.focus();
  };

  const see = () => {
    if (!isOpen || !atEnd || document.hidden) return;
    unread = 0;
    draw();
  };

  const set = (next) => {
    state = atEnd ? trimmed(next, MOST) : next;
    draw();
  };

  const rowOf = (item, previous) => {
    const { message_id: id, user, seq, error } = item;
    const isNear = previous?.user.id === user.id && dayOf(previous) === dayOf(item) && timeOf(item) - timeOf(previous) < NEAR;
    const isMine = user.id === server.user?.id;
    const row = rows.get(id) ?? { element: make("li.message") };
    const how = `${isNear} ${isMine} ${server.isStaff} ${keeping && keeping.from}`;
    if (row.item === item && row.how === how) return row.element;
    Object.assign(row, { item, how });
    rows.set(id, row);
    row.element.className = `message ${isNear ? "near" : ""} ${seq ? "" : "held"} ${keeping?.from === id ? "lit" : ""}`;
    const mayDelete = server.isStaff || (isMine && Date.now() - timeOf(item) < WINDOW);
    fill(
      row.element,
      !isNear && make("img.avatar", { src: server.picture(user), alt: "", loading: "lazy" }),
      !isNear && make("header", {}, view.author(user), view.time(item.created_at, clock(item.created_at))),
      make("p.text", { dir: "auto", title: t.full(item.created_at) }, linked(decode(item.data))),
      make("div.acts", {},
        error && [make("span.said", {}, t("unsent")), button("retry", () => resend()),
          button("remove", () => set(dropped(state, id)))],
        seq && keeping && button(keeping.from ? "end" : "begin", () => choose(id)),
        seq && !keeping && mayDelete && button("remove", () => remove(id), "rare")),
    );
    return row.element;
  };

  const dayRow = (item) => {
    const date = dayOf(item);
    const name = date === new Date().toDateString() ? t("today") : day(item.created_at);
    const key = date + name; // which it is changes at midnight
    const row = rows.get(key) ?? { element: make("li.day", {}, name) };
    rows.set(key, row);
    return row.element;
  };

  view.paint = () => {
    const { items } = state;
    const last = items.at(-1);
    // What is being read stays where it is when older ones come above it.
    const anchor = !atEnd && [...list.children].find((row) => row.offsetTop + row.offsetHeight > log.scrollTop);
    const offset = anchor && anchor.offsetTop - log.scrollTop;
    arrange(list, items.flatMap((item, n) => {
      const before = items[n - 1];
      const row = rowOf(item, before);
      return before && dayOf(before) === dayOf(item) ? row : [dayRow(item), row];
    }));
    for (const [key, { element }] of rows) if (!element.isConnected) rows.delete(key);
    if (anchor?.isConnected) log.scrollTop = anchor.offsetTop - offset;
    const mayKeep = last && (server.isStaff || items.some(({ user }) => user.id === server.user?.id));
    const isQuiet = last && Date.now() - timeOf(last) > 3600000;
    const news = t(unread && "unread", { n: unread }) ?? "";
    more.textContent = t(state.hasOlder && "older");
    empty.textContent = last || state.seq < 0 ? "" : invite || t("quiet");
    show(entry, isPublic === false && !server.user);
    quiet.textContent = isQuiet ? `${t("last", { when: t.ago(last.created_at) })} ${invite}` : "";
    keep.textContent = t(mayKeep && (keeping ? "cancel" : "keep"));
    pill.textContent = news && isOpen ? `${news} ↓` : "";
    count.textContent = unread || "";
    launcher.ariaLabel = `${t("open")} ${news}`;
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
  view.note = () => (isClosed ? t("room_closed") : keeping && t(keeping.from ? "keep_to" : "keep_from"));

  const before = (seq, limit) => server.call("GET", `messages${query}&before=${seq}&limit=${limit}`);

  view.ask = async () => {
    isPublic ??= (await server.call("GET", `sites/${server.siteId}`)).data.public_chat;
    return (server.user || isPublic) && before(1e15, 100);
  };
  // Who is signed out sees nothing more; what they have not sent yet is given back.
  view.came = (list) =>
    set(list ? listed(state, list) : { ...EMPTY_ROOM, items: state.items.filter(({ seq }) => !seq) });

  const extend = () => {
    const first = state.items[0]?.seq;
    if (!first) return;
    atEnd = false;
    view.extend(() => before(first, 50), (list) => set(older(state, list)));
  };

  // A screen reader hears the last one, or how many, every few seconds.
  const speak = (message) => {
    waiting.push(message);
    speaking ??= setTimeout(() => {
      const { length } = waiting;
      const { user, data } = waiting.at(-1);
      voice.textContent = length > 3 ? t("unread", { n: length }) : `${user.full_name}: ${decode(data)}`;
      waiting = [];
      speaking = null;
    }, 3000);
  };

  view.take = (event) => {
    const { type, online, room = event } = event;
    if (type === "ready") resend();
    if (online) people.textContent = t(online > 1 && "people", { n: online });
    isClosed = room.closed ?? isClosed;
    const next = heard(state, event);
    if (!next) return load();
    const isNew = next !== state && type === "message";
    set(next);
    if (!isNew) return;
    view.tell("message", event);
    if (event.user.id === server.user?.id) return;
    if (isOpen) speak(event);
    if (!isOpen || !atEnd || document.hidden) unread++;
  };

  // Shown at once; then one after the other, so that they arrive in the order of writing.
  const post = (text) => {
    const item = { message_id: random(), data: encode(text), user: server.user, created_at: new Date().toJSON() };
    atEnd = true;
    set(sending(state, item));
    resend();
  };

  const resend = () => isSending || deliver();

  // Sending is idempotent by message_id: until an answer comes, the same goes again and again.
  const deliver = async () => {
    isSending = true;
    // Who is signed out gets the last one back first, so that they stand in the order of writing.
    const next = () => state.items[server.user ? "find" : "findLast"](({ seq, status }) => !seq && !status);
    for (let item; (item = next()) && !view.signal.aborted; ) {
      const { message_id: id, data, user } = item;
      try {
        if (server.user?.id !== user.id) throw { status: 401, error: "signed_out" };
        const body = { message_id: id, category: "text", data, page: pageOf(view) };
        // Meanwhile the state has become another.
        const stored = await server.call("POST", `messages${query}`, body);
        set(settled(state, { ...stored, error: null }, id));
        say("");
      } catch (error) {
        if (isPassing(error)) {
          // Those behind it would overtake it.
          if (!state.items.at(-1)?.error) set(settled(state, { error }));
          say(t(error.error, { n: error.wait }));
          clearTimeout(again);
          again = setTimeout(resend, (+error.wait || 4) * 1000);
          break;
        } else {
          // Refused: the words go back to where they were typed.
          set(dropped(state, id));
          composer.insert(decode(data));
          composer.fail(error);
        }
      }
    }
    isSending = false;
  };

  const remove = (id) => view.attempt(server.call("DELETE", `messages/${id}${query}`));

  // A stretch of talk becomes a thread below the page: first where it begins, then where it ends.
  const setKeeping = (value) => {
    keeping = value;
    say("");
  };
  const choose = (id) => {
    const { from } = keeping;
    if (!from) return setKeeping({ from: id });
    setKeeping(null);
    const path = `comments/keep${server.query(options.pageSlug)}`;
    const body = { from, to: id, room: slug, page: pageOf(view) };
    view.attempt(server.call("POST", path, body).then(({ data }) => {
      view.tell("comment", data);
      say(t("done"));
    }));
  };

  fill(section, isSheet && launcher, box);
  show(launcher, false);
  if (isSheet) {
    box.role = "dialog";
    box.ariaLabel = t("chat");
    on(box, "keydown", ({ key, isComposing }) => key === "Escape" && !isComposing && toggle());
    on(window, "popstate", () => mark && !isMarked() && toggle(true));
    on(visualViewport, "resize", fit);
    opened();
  }
  observe(new ResizeObserver(() => atEnd && (log.scrollTop = log.scrollHeight)), log);
  on(document, "visibilitychange", see);
  until(server.onPerson(() => {
    setKeeping(null);
    load();
  }));
  load();
  until(listen(server, slug, view.hear));
  return view;
};
