// What people do below a page: write a comment, answer, change, like, delete or approve one.
import { composerOf, pageOf } from "./composer.js";
import { paintOf } from "./passages.js";
import { goneIn, keyOf } from "./thread.js";

const lit = paintOf("lit", "background:#ffe08a;color:#111");

// The comments give `main`, the form at their top; `posted(item)` and `did(item)` show what the server
// answered.
export const actsOf = (view, { main, label, call, pathOf, posted, did }) => {
  const { server, t } = view;
  const { slug } = view.options;
  const open = {}; // key of a comment or reply → the form below it

  const shut = (key) => {
    open[key]?.element.remove();
    delete open[key];
  };

  const { insert } = composerOf(view, {
    label,
    key: slug,
    send: async (content) => posted(await call("POST", pathOf(), { content, page: pageOf(view) })),
  }, main);

  const openBelow = (entry, kind, send, given) => {
    const key = keyOf(entry.item);
    const isOpen = open[key]?.kind === kind;
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

  const act = (entry, method, more = "") =>
    view.attempt(call(method, entry.path(more)).then((item) => (item ? did(item) : view.load())));

  view.until(() => lit?.clear());
  return {
    insert, shut,
    // An answer to what was deleted meanwhile becomes a comment, if they like.
    heard: (event) => {
      const key = goneIn(event);
      const { kind, text } = open[key] ?? {};
      if (kind !== "reply" || !/deleted$/.test(event.type) || !text()) return;
      insert(text());
      view.say(t("comment_deleted"));
      shut(key);
    },
    reply: (entry) => {
      const { id, comment_id: of, creator } = entry.item;
      openBelow(entry, "reply", async (content) => {
        const body = { content, ...(of && { reply_to: id }) };
        posted(await call("POST", pathOf(`/${of ?? id}/replies`), body));
      }, { label: t("answer", { name: creator.full_name }), key: `${slug} ${of ?? ""} ${id}` });
    },
    save: (entry) =>
      openBelow(entry, "save", async (content) => did(await call("PATCH", entry.path(), { content })), {
        label: t("edit"),
        value: entry.item.content,
      }),
    like: (entry) => {
      const go = () => act(entry, "PUT", entry.item.fav_id ? "/unfav" : "/fav");
      if (server.user) go();
      else openBelow(entry, "like", go);
    },
    // A second press within five seconds deletes.
    remove: (entry, asked) => {
      if (asked.textContent === t("sure")) act(entry, "DELETE");
      asked.textContent = t("sure");
      setTimeout(() => (asked.textContent = t("remove")), 5000);
    },
    approve: (entry) => act(entry, "PUT", "/approve"),
    // A passage of the article, for some seconds.
    light: (range) => {
      lit.clear();
      lit.add(range);
      scrollBy({ top: range.getBoundingClientRect().top - innerHeight / 3 });
      setTimeout(() => lit.delete(range), 6000);
    },
  };
};
