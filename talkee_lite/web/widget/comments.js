// The comments of a page.
import { composerOf } from "./composer.js";
import { arrange, fill, make, recall, remember, setHtml, show } from "./dom.js";
import { listen } from "./link.js";
import { isPassing } from "./server.js";
import { EMPTY_THREAD, answersTo, arranged, changed, drop, extended, keyOf, loaded, put } from "./thread.js";
import { openView, pageOf } from "./view.js";

const SIZE = 20;
const WINDOW = 15 * 60 * 1000; // for so long people may change what they wrote
const ORDERS = { created_at_asc: "oldest", created_at: "newest" };

export const mount = async (host, options) => {
  const view = await openView(host, options);
  const { server, t, section, button, until, signal } = view;
  const { slug } = options;
  const query = `?site_id=${server.siteId}&slug=${encodeURIComponent(slug)}`;
  const place = `visit ${server.base}${server.siteId}${slug}`;
  const before = recall(place) ?? "~"; // no time is behind that
  const isQuoting = options.quotes !== "off";
  const entries = new Map(); // key → what is drawn
  const open = {}; // key → the form below it
  let state = EMPTY_THREAD;
  let early = 0; // the page's revision, heard before there was a list
  let order = recall("order") ?? "created_at_asc";
  let landing = location.hash;
  let drawing, isLoaded, isLoading, isStale, answers, quotes;

  const call = async (method, path, body) => (await server.call(method, path, body)).data;
  const pathOf = (of = "") => `comments${of}${query}`;

  const heading = make("h2.heading");
  const orders = make("select.quiet", {
    change: () => {
      remember("order", (order = orders.value));
      state = EMPTY_THREAD;
      load();
    },
  }, Object.entries(ORDERS).map(([value, name]) => make("option", { value }, t(name))));
  orders.ariaLabel = t(ORDERS[order]);
  const notice = make("p.notice");
  const status = make("p.status", { role: "status" });
  const list = make("div.list", { tabIndex: -1 });
  const earlier = button("earlier", () => extend(true), "more");
  const more = button("more", () => extend(), "more");
  const fresh = button("fresh", () => {
    const [first] = state.fresh;
    set({ ...state, fresh: new Set() });
    requestAnimationFrame(() => point(entries.get(first)));
  }, "fresh");
  const empty = make("p.empty", {}, t("none_yet"));
  const say = (text) => (status.textContent = text);

  // A list that is on its way may not have what one did meanwhile.
  const did = (next) => {
    isStale ||= isLoading;
    set(next);
  };
  // A new one of one's own is shown at once.
  const posted = (item) => {
    view.tell("comment", item);
    landing = idOf(item);
    // Between it and those that are shown there may be others, which come as one goes back.
    if (!item.comment_id && isEndless()) load(item.id);
    else did(put(state, item));
  };
  const main = composerOf(view, {
    label: t("write"),
    key: slug,
    send: async (content) => posted(await call("POST", pathOf(), { content, page: pageOf() })),
  });

  const page = async (order, limit, from = "") => {
    const { comments, ...rest } = await call("GET", `${pathOf()}&order_by=${order}&limit=${limit}${from}`);
    const ids = comments.filter((comment) => comment.reply_count).map(({ id }) => id);
    const { replies } = ids.length ? await call("GET", `replies${query}&of=${ids}`) : { replies: {} };
    // What did not fit into one answer.
    for (const [id, part] of Object.entries(replies)) {
      while (part.replies.length < part.total) {
        const behind = `&order_by=created_at_asc&limit=100&after_id=${part.replies.at(-1).id}`;
        const next = await call("GET", `${pathOf(`/${id}/replies`)}${behind}`);
        if (!next.replies[0]) break;
        part.replies.push(...next.replies);
      }
    }
    const items = [...comments, ...Object.values(replies).flatMap((part) => part.replies)];
    return { ...rest, items, last: comments.at(-1)?.id, isFull: comments.length === limit };
  };

  const isEndless = () => state.hasMore && order === "created_at_asc";
  const shownIds = () => arranged({ ...state, fresh: new Set() }).map(([{ id }]) => id);

  // All that is shown, once more, or the first of it; or from one comment on.
  const load = async (from, isAgain) => {
    if (isLoading) return void (isStale = from ?? (isStale || true));
    isLoading = true;
    isStale = false;
    try {
      const ids = shownIds();
      const first = from ?? (state.hasEarlier && ids[0]);
      let wanted = from ? SIZE : Math.max(SIZE, ids.length);
      let next = first ? `&from_id=${first}` : "";
      const items = [];
      let part;
      if (from) order = "created_at_asc";
      do {
        part = await page(order, Math.min(100, wanted), next);
        items.push(...part.items);
        next = `&after_id=${part.last}`;
        wanted -= 100;
      } while (part.isFull && wanted > 0);
      const { total, revision } = part;
      // What was linked to is gone, or another page's.
      if (first && !items[0] && total) {
        state = EMPTY_THREAD;
        landing = "";
        isLoading = false;
        return load();
      }
      const isPart = total > items.filter((item) => !item.comment_id).length;
      const answer = { items, total, revision, order, hasMore: part.isFull && isPart, hasEarlier: first && isPart };
      // What was heard meanwhile is newer than the list; a smaller number for good is another database.
      if ((isStale || revision < state.revision) && !isAgain) isStale ||= true;
      else {
        set(loaded(from || !isLoaded ? EMPTY_THREAD : state, answer, server.user?.id));
        answers ??= server.user ? answersTo(state, server.user.id, before) : [];
        isLoaded = true;
        // What was heard before there was a list.
        isStale ||= early > revision;
        early = 0;
      }
    } catch (error) {
      fail(error);
    }
    isLoading = false;
    again(from);
  };
  // What was asked for meanwhile: just once more, or from a comment on.
  const again = (from) => isStale && load(isStale === true ? from : isStale, true);

  const extend = async (isBefore) => {
    if (isLoading) return;
    isLoading = true;
    try {
      const id = shownIds().at(isBefore ? 0 : -1);
      const { items, isFull } = await page(isBefore ? "created_at" : order, SIZE, `&after_id=${id}`);
      const next = extended(state, { items });
      const { element } = entries.get(`c${id}`);
      const top = () => element.getBoundingClientRect().top;
      const was = top();
      set({ ...next, [isBefore ? "hasEarlier" : "hasMore"]: isFull && next.total > arranged(next).length });
      // What is read stays where it is.
      if (isBefore) requestAnimationFrame(() => scrollBy({ top: top() - was, behavior: "instant" }));
    } catch (error) {
      fail(error);
    }
    isLoading = false;
    again();
  };

  const fail = (error) => {
    if (view.cure(error)) view.end();
    else if (!isPassing(error)) say(view.explain(error));
  };

  const point = (entry) => {
    if (!entry) return;
    for (const { element } of entries.values()) element.classList.remove("lit");
    entry.element.classList.add("lit");
    entry.element.scrollIntoView({ block: "center" });
    entry.element.focus({ preventScroll: true });
  };
  // To one of them, wherever it is; it is looked for once.
  const land = (hash, isLast) => {
    const [, id, reply] = /^#?talkee-(\d+)-?(\d*)$/.exec(hash) ?? [];
    const entry = entries.get(reply ? `r${reply}` : `c${id}`) ?? entries.get(`c${id}`);
    landing = "";
    if (entry) return point(entry);
    if (!id || isLast) return;
    landing = hash;
    load(id);
  };

  const shut = (key) => {
    open[key]?.element.remove();
    delete open[key];
  };
  const openBelow = (entry, kind, send, given) => {
    const key = keyOf(entry.item);
    const isOpen = open[key]?.kind === kind && open[key].element.isConnected;
    shut(key);
    if (isOpen) return;
    const composer = composerOf(view, {
      verb: kind,
      cancel: () => {
        shut(key);
        entry.element.focus();
      },
      send: async (content) => {
        await send(content);
        shut(key);
      },
      ...given,
    });
    open[key] = { kind, ...composer };
    entry.slot.append(composer.element);
    composer[given ? "focus" : "run"]();
  };

  const act = async (entry, method, more = "") => {
    try {
      const item = await call(method, entry.path(more));
      did(item ? put(state, item) : drop(state, keyOf(entry.item)));
    } catch (error) {
      say(view.explain(error));
    }
  };

  const acts = {
    reply: (entry) => {
      const { id, comment_id: of, creator } = entry.item;
      const label = t("write_reply", { name: creator.full_name });
      openBelow(entry, "reply", async (content) => {
        const body = { content, ...(of && { reply_to: id }) };
        posted(await call("POST", pathOf(`/${of ?? id}/replies`), body));
      }, { label, key: `${slug} ${of ?? ""} ${id}` });
    },
    save: (entry) =>
      openBelow(entry, "save", async (content) => did(put(state, await call("PATCH", entry.path(), { content }))), {
        label: t("edit"),
        value: entry.item.content,
      }),
    like: (entry) => {
      const go = () => act(entry, "PUT", entry.item.fav_id ? "/unfav" : "/fav");
      if (server.user) go();
      else openBelow(entry, "like", go);
    },
    // A second press within four seconds deletes.
    remove: (entry, { currentTarget: asked }) => {
      if (asked.textContent === t("sure")) act(entry, "DELETE");
      asked.textContent = t("sure");
      setTimeout(() => (asked.textContent = t("remove")), 4000);
    },
    approve: (entry) => act(entry, "PUT", "/approve"),
  };

  const idOf = ({ comment_id: of, id }) => `talkee-${of ? `${of}-` : ""}${id}`;

  // The element of a comment or reply, made anew where it changed.
  const entryOf = (item) => {
    const { id, comment_id: of, creator, status: how } = item;
    const key = keyOf(item);
    let entry = entries.get(key);
    if (!entry) {
      const face = make("img.avatar", { alt: "", loading: "lazy" });
      const head = make("header");
      const text = make("div.text", { dir: "auto" });
      const tools = make("div.acts");
      const slot = make("div");
      const replies = make("div.replies");
      const element = make(`article.${of ? "reply" : "comment"}`, { id: idOf(item), tabIndex: -1 },
        face, make("div.body", {}, head, text, tools, slot), !of && replies);
      const path = (more = "") => pathOf(`/${of ? `${of}/replies/` : ""}${id}${more}`);
      entry = { face, head, text, tools, slot, replies, element, path };
      entries.set(key, entry);
    }
    const { face, head, text, tools, element, item: last } = entry;
    if (last === item && entry.user === server.user) return entry;
    Object.assign(entry, { item, user: server.user });
    const isGone = how === "deleted";
    const isOut = how === "published";
    const isMine = creator.id === server.user?.id;
    const isNew = Date.now() - Date.parse(item.created_at) < WINDOW;
    const isTeam = server.isStaff;
    const { kept_by: keeper, favor_count: likes } = item;
    const to = state.items.get(`r${item.reply_to}`);
    const tool = (name, shownAs = name) => button(shownAs, (event) => acts[name](entry, event));
    element.ariaLabel = isGone ? t("deleted") : creator.full_name;
    element.classList.toggle("held", how === "pending");
    show(face, !isGone);
    if (isGone) {
      text.textContent = t("deleted");
      fill(head, []);
      fill(tools, []);
      return entry;
    }
    const picture = server.picture(creator);
    if (face.getAttribute("src") !== picture) face.src = picture;
    fill(head, [
      make("b.author", { dir: "auto" }, creator.full_name),
      /^(admin|moderator)$/.test(creator.kind) && make("span.badge", {}, t(creator.kind)),
      to && make("span.faint", {}, t("replies_to", { name: to.creator.full_name })),
      make("a.faint", { href: `#${element.id}`, title: t("link") }, view.time(item.said_at ?? item.created_at)),
      item.edited && make("span.faint", {}, t("edited")),
      keeper && make("span.faint", {}, t("kept", { name: keeper.full_name })),
      how === "pending" && make("span.badge", {}, t(how)),
    ]);
    if (last?.content_html !== item.content_html) {
      setHtml(text, item.content_html);
      if (isQuoting && !of && text.querySelector(":scope > blockquote:first-child")) quote().then((quotes) => quotes.found(entry));
    }
    const heart = !of && isOut && tool("like", likes ? `♥\uFE0E ${likes.toLocaleString(t.lang)}` : "♡");
    if (heart) heart.ariaLabel = `${t("like")} ${likes ? t("likes", { n: likes }) : ""}`;
    if (heart) heart.ariaPressed = Boolean(item.fav_id);
    fill(tools, [
      heart,
      isOut && tool("reply"),
      (isTeam || (isMine && isNew)) && tool("save", "edit"),
      (isTeam || (isMine && (isNew || item.said_at))) && tool("remove"),
      isTeam && !isOut && tool("approve"),
    ]);
    return entry;
  };

  const set = (next) => {
    state = next;
    // Several changes at once are drawn once.
    drawing ??= document.hidden ? setTimeout(paint, 50) : requestAnimationFrame(paint);
  };

  const paint = () => {
    drawing = null;
    if (signal.aborted) return;
    const used = new Set();
    const entryAt = (item) => {
      used.add(keyOf(item));
      return entryOf(item);
    };
    // Who is at a button stays there, or near, when it is drawn anew.
    const focused = host.shadowRoot.activeElement;
    const near = focused?.closest("article");
    const of = near && focused.parentElement;
    const at = [...(of?.children ?? [])].indexOf(focused);
    arrange(list, arranged(state).map(([comment, replies]) => {
      const entry = entryAt(comment);
      arrange(entry.replies, replies.map((reply) => entryAt(reply).element));
      return entry.element;
    }));
    for (const key of entries.keys()) {
      if (used.has(key)) continue;
      entries.delete(key);
      // An answer to what was deleted meanwhile becomes a comment, if they like.
      const { kind, text } = open[key] ?? {};
      if (kind === "reply" && state.gone.has(key) && text()) {
        main.insert(text());
        say(t("comment_deleted"));
      }
      shut(key);
    }
    host.setAttribute("data-loaded", "");
    heading.textContent = options.heading || (state.total ? t("comments", { n: state.total }) : t("heading"));
    orders.value = order;
    show(orders, state.total > 1);
    show(empty, !state.total);
    show(more, state.hasMore);
    show(earlier, state.hasEarlier);
    show(fresh, state.fresh.size);
    fresh.textContent = t("fresh", { n: state.fresh.size });
    show(notice, answers?.[0]);
    if (answers?.[0]) {
      fill(notice, [make("a", { href: `#${idOf(answers[0])}` }, t("answers", { n: answers.length }))]);
    }
    if (focused && (focused.hidden || !focused.isConnected)) {
      (near?.isConnected ? of.children[at] ?? near : list).focus({ preventScroll: true });
    }
    quotes?.then(({ drawn }) => drawn());
    // What is not there yet may be in the list that is on its way.
    if (landing && !isLoading) land(landing, state.hasEarlier);
  };

  const hear = (event) => {
    const { type } = event;
    if (type === "state") return say((isLoaded && !/live|hidden|off$/.test(event.state) && t(event.state)) || "");
    if (type === "poll") return load();
    if (!isLoaded) return void (early = event.comments_revision ?? event.revision ?? early);
    const next = changed(state, event, server.user?.id);
    if (event.comment && !state.items.has(keyOf(event.comment))) view.tell("comment", event.comment);
    if (!next) load();
    else if (next !== state) set(next);
  };

  // Passages of the article, when somebody selects one or a comment is about one.
  const quote = () =>
    (quotes ??= import("./quotes.js").then(({ quotesOf }) =>
      quotesOf(view, host, { write: main.insert, jump: (id) => land(`talkee-${id}`) })));
  if (isQuoting) {
    document.addEventListener("selectionchange", quote, { once: true, signal });
    if (!getSelection().isCollapsed) quote();
  }

  for (const element of [notice, more, earlier, fresh, empty, orders]) show(element, false);
  fill(section, [make("div.top", {}, heading, orders), notice, main.element, status, empty, earlier, list, more,
    make("div.news", { ariaLive: "polite" }, fresh)]);
  // More comes as one scrolls to it.
  const watch = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && extend(), { rootMargin: "600px" });
  watch.observe(more);
  until(() => watch.disconnect());
  addEventListener("hashchange", () => land(location.hash), { signal });
  const leave = () => remember(place, new Date().toISOString());
  addEventListener("pagehide", leave, { signal });
  until(leave);
  const clock = setInterval(() => {
    for (const time of section.querySelectorAll("time")) time.textContent = t.ago(time.dateTime);
  }, 60000);
  until(() => clearInterval(clock));
  until(server.onPerson(() => isLoaded && load()));
  until(listen(server, slug, hear));
  load();

  return { refresh: () => load(), signOut: server.signOut, destroy: view.end };
};
