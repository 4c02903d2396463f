// The comments of a page.
import { arrange, field, fill, make, recall, remember, setHtml, show } from "./dom.js";
import { listen } from "./link.js";
import { passagesOf, quoted } from "./passages.js";
import {
  EMPTY_THREAD, arranged, changed, extended, freshOf, isBeyond, keyOf, loaded, put, seen,
} from "./thread.js";
import { openView } from "./view.js";

const SIZE = 20;
const WINDOW = 900000; // 15 minutes: for so long people may change what they wrote

export const mount = async (host, options) => {
  const view = await openView(host, options);
  const { server, t, section, status, query, button, until, on, observe, say, draw, load } = view;
  const { slug } = options;
  const place = `visit ${server.base}${server.siteId}${slug}`;
  const before = recall(place);
  const entries = new Map(); // key → what is drawn
  let state = EMPTY_THREAD;
  let isNewest = recall("newest");
  let landing = location.hash;
  let start; // the id of the comment with which the list begins, if that is not the first
  let answers = [];
  let acting, quoting;

  const call = async (method, path, body) => (await server.call(method, path, body)).data;
  const pathOf = (of = "") => `comments${of}${query}`;
  const set = (next) => {
    state = next;
    draw();
  };

  // Another list: from the beginning, or from one comment on.
  const restart = (from) => {
    start = from;
    if (from) isNewest = null;
    state = EMPTY_THREAD;
    load(true);
  };

  const heading = make("h2.heading");
  const turn = button("", () => {
    remember("newest", (isNewest = !isNewest));
    restart();
  });
  const notice = make("p.notice");
  const list = make("div.list", { tabIndex: -1 });
  const earlier = button("", () => extend(true), "more");
  const more = button("", () => extend(), "more");
  const fresh = button("", () => {
    landing = idOf(freshOf(state)[0]);
    set(seen(state));
  }, "fresh");
  const empty = make("p.empty");

  // What one did oneself is shown at once; a list that is on its way may be from before.
  const did = (item) => {
    say("");
    set(put(state, item));
    if (view.early || state.revision < 0) load();
  };
  const posted = (item) => {
    if (!state.items.has(keyOf(item))) view.tell("comment", item);
    landing = idOf(item);
    // Between it and those that are shown there may be others.
    if (!item.comment_id && isBeyond(state)) restart(item.id);
    else did(item);
  };

  // Where one writes; what that needs comes when somebody goes there, or to a comment's buttons.
  const label = t("write");
  const draft = view.draftOf(slug);
  const area = field("textarea.input", label, {
    rows: 2, value: recall(draft), input: () => remember(draft, area.value),
  });
  const main = make("form.composer", {}, area);
  const acts = () =>
    (acting ??= import("./acts.js")
      .then(({ actsOf }) => actsOf(view, { main, label, call, pathOf, posted, did }))
      .catch(() => {
        // The server is away, or has another version by now.
        acting = null;
        say(t("reload"));
      }));
  on(main, "focusin", acts);
  const insert = async (text) => (await acts())?.insert(text);

  // What lies behind those that are shown, or, backwards, before them.
  const extend = (back) => {
    const id = shownIds().at(back ? 0 : -1);
    view.extend(() => page(SIZE, `&after_id=${id}`, back), ({ items, hasMore }) => {
      const element = entries.get(`c${id}`)?.element ?? list;
      const top = () => element.getBoundingClientRect().top;
      const was = top();
      set(extended(state, { items, hasMore: back ? state.hasMore : hasMore }));
      if (!back) return;
      if (!hasMore) start = 0;
      // What is read stays where it is.
      requestAnimationFrame(() => scrollBy({ top: top() - was, behavior: "instant" }));
    });
  };

  const page = async (wanted, from, back) => {
    const limit = Math.min(100, wanted);
    const by = `created_at${isNewest || back ? "" : "_asc"}`;
    const { comments, replies, ...rest } = await call("GET", `${pathOf()}&replies=100&order_by=${by}&limit=${limit}${from}`);
    const items = [...comments];
    for (let [id, { replies: some, total }] of Object.entries(replies)) {
      while (some[0]) {
        items.push(...some);
        total -= some.length;
        // What did not fit into one answer.
        const behind = `&order_by=created_at_asc&limit=100&after_id=${some.at(-1).id}`;
        some = total > 0 ? (await call("GET", pathOf(`/${id}/replies`) + behind)).replies : [];
      }
    }
    const isFull = comments.length === limit;
    const next = isFull && wanted > limit && (await page(wanted - limit, `&after_id=${comments.at(-1).id}`));
    // What happens while the parts come is heard, and taken up from the first one's revision on.
    return { hasMore: isFull, ...next, ...rest, isNewest, items: [...items, ...(next.items ?? [])] };
  };

  const shownIds = () => arranged(state, true).map(([{ id }]) => id);

  const answering = before && server.user &&
    call("GET", `me/answers${query}&since=${before}`).then((found) => (answers = found.replies), () => {});

  // All that is shown, once more, or the first of it.
  view.ask = async () => {
    const ids = shownIds();
    start &&= ids[0] ?? start;
    const asked = page(Math.max(SIZE, ids.length), start ? `&from_id=${start}` : "");
    // Both are drawn at once, so that nothing moves.
    return (await Promise.all([asked, answering]))[0];
  };
  view.came = (answer) => {
    // The first one is gone, or another page's.
    if (start && !answer.items[0]) {
      landing = "";
      return restart(shownIds()[1]);
    }
    state = loaded(state, answer, server.user?.id);
  };
  view.take = (event) => {
    const item = event.comment ?? event.reply;
    if (item && /created$/.test(event.type) && !state.items.has(keyOf(item))) view.tell("comment", item);
    acting?.then((all) => all?.heard(event));
    const next = changed(state, event, server.user?.id);
    if (!next) load();
    else if (next !== state) set(next);
  };
  // To one of them, wherever it is; it is looked for once.
  const land = (hash, isLast) => {
    const [, id, reply] = /^#?talkee-(\d{1,15})\b-?(\d*)$/.exec(hash) ?? [];
    const entry = entries.get(`r${reply}`) ?? entries.get(`c${id}`);
    landing = "";
    if (entry) {
      const { element } = entry;
      list.querySelector(".lit")?.classList.remove("lit");
      element.classList.add("lit");
      element.scrollIntoView({ block: "center" });
      element.focus({ preventScroll: true });
    } else if (id && !isLast) {
      landing = hash;
      restart(id);
    }
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
      entry = { face, head, text, tools, slot, replies, element, path, buttons: {} };
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
    const note = (name, values) => make("span.faint", {}, t(name, values));
    // The same button each time, so that who is at it stays there.
    const tool = (name, textContent = t(name), more) => {
      const asked = (entry.buttons[name] ??= button("", () => acts().then((all) => all?.[name](entry, asked))));
      return Object.assign(asked, { textContent, ...more });
    };
    element.ariaLabel = isGone ? t("deleted") : creator.full_name;
    element.classList.toggle("held", how === "pending");
    show(face, !isGone);
    if (isGone) {
      text.textContent = t("deleted");
      fill(head);
      fill(tools);
      return entry;
    }
    face.src = server.picture(creator);
    fill(
      head,
      view.author(creator),
      to && note("to", { name: to.creator.full_name }),
      make("a.faint", { href: `#${element.id}`, title: t("link") }, view.time(item.said_at ?? item.created_at)),
      item.edited && note("edited"),
      keeper && note("kept", { name: keeper.full_name }),
      how === "pending" && make("span.badge", {}, t(how)),
    );
    if (last?.content_html !== item.content_html) setHtml(text, item.content_html);
    arrange(tools, [
      !of && isOut && tool("like", likes ? `♥\uFE0E ${likes.toLocaleString(t.lang)}` : "♡", {
        ariaLabel: `${t("like")} ${likes ? t("likes", { n: likes }) : ""}`, ariaPressed: item.fav_id > 0,
      }),
      isOut && tool("reply"),
      (isTeam || (isMine && isNew)) && tool("save", t("edit")),
      (isTeam || (isMine && (isNew || item.said_at))) && tool("remove"),
      isTeam && !isOut && tool("approve"),
    ].filter((one) => one));
    return entry;
  };

  view.paint = () => {
    const focused = host.shadowRoot.activeElement;
    const near = focused?.closest("article");
    arrange(list, arranged(state).map(([comment, replies]) => {
      const entry = entryOf(comment);
      arrange(entry.replies, replies.map((reply) => entryOf(reply).element));
      return entry.element;
    }));
    for (const [key, { element }] of entries) {
      if (list.contains(element)) continue;
      entries.delete(key);
      acting?.then((all) => all?.shut(key));
    }
    const { total, hasMore } = state;
    const { length: waiting } = freshOf(state);
    heading.textContent = options.heading || t(total ? "comments" : "heading", { n: total });
    turn.textContent = t(total > 1 && (isNewest ? "oldest" : "newest"));
    empty.textContent = t(!total && "none");
    more.textContent = t(hasMore && "more");
    earlier.textContent = t(start && "earlier");
    fresh.textContent = t(waiting && "fresh", { n: waiting });
    const [answer] = answers;
    fill(notice, answer && make("a", { href: `#${idOf(answer)}` }, t("answers", { n: answers.length })));
    // Who was at a button that is gone stays near.
    if (focused?.checkVisibility?.() === false) (near?.isConnected ? near : list).focus({ preventScroll: true });
    if (passages) passages.draw();
    // What is not there yet may be in the list that is on its way.
    if (landing && !view.early) land(landing, start);
  };

  const passages = quoted && options.quotes !== "off" && passagesOf(view, host, {
    jump: land,
    light: (range) => acts().then((all) => all?.light(range)),
  });
  const quote = () =>
    (quoting ??= import("./quotes.js")
      .then(({ quotesOf }) => quotesOf(view, passages, insert))
      .catch(() => {}));
  if (passages) {
    on(document, "selectionchange", quote);
    if (!getSelection().isCollapsed) quote();
  }

  fill(section, make("div.top", {}, heading, turn), main, status, notice, empty, earlier, list, more,
    make("div.news", { ariaLive: "polite" }, fresh));
  // More comes as one scrolls to it.
  observe(new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && extend(), { rootMargin: "600px" }), more);
  on(window, "hashchange", () => land(location.hash));
  const leave = () => remember(place, Date.now());
  on(window, "pagehide", leave);
  until(leave);
  const clock = setInterval(() => {
    for (const time of section.querySelectorAll("time")) time.textContent = t.ago(time.dateTime);
  }, 60000);
  until(() => clearInterval(clock));
  until(server.onPerson(() => {
    answers = [];
    load();
  }));
  load();
  until(listen(server, slug, view.hear));
  return view;
};
