// The comments of a page, as pure functions from one state to the next.
//
// `items` holds comments and replies by their keys; `fresh` the keys of those that wait until the
// reader asks for them; `gone` those that were deleted since a list came; `hasMore` and `hasEarlier`:
// there are others behind and before.

export const EMPTY_THREAD = { items: new Map(), fresh: new Set(), gone: new Set(), total: 0, revision: 0 };

export const keyOf = (item) => (item.comment_id ? "r" : "c") + item.id;

const keyed = (items) => items.map((item) => [keyOf(item), item]);

// A list came: `{items, total, revision, hasMore, hasEarlier, order}`. What the reader did not have
// before is fresh, unless it is their own, or they had nothing yet, or had not come so far.
export const loaded = (before, list, me) => {
  const isOpen = before.hasMore && before.order === "created_at_asc";
  const fresh = list.items.filter((item) => {
    const key = keyOf(item);
    const isBehind = isOpen && !before.items.has(item.comment_id ? `c${item.comment_id}` : key);
    return before.items.size && item.creator.id !== me && !isBehind && (!before.items.has(key) || before.fresh.has(key));
  });
  return { ...list, items: new Map(keyed(list.items)), fresh: new Set(fresh.map(keyOf)), gone: new Set() };
};

// What lies behind, or before, those that are shown.
export const extended = (state, { items, ...edges }) => ({
  ...state,
  ...edges,
  items: new Map([...state.items, ...keyed(items)]),
});

export const put = (state, item, isFresh) => {
  const key = keyOf(item);
  const fresh = new Set(state.fresh);
  if (isFresh) fresh.add(key);
  const isNew = !state.items.has(key);
  const total = state.total + Number(isNew && !item.comment_id);
  return { ...state, total, fresh, items: new Map(state.items).set(key, item) };
};

// A comment with replies stays, without its text. That something was deleted is heard more than once.
export const drop = (state, key) => {
  if (state.gone.has(key)) return state;
  const items = new Map(state.items);
  const item = items.get(key);
  const isKept = item && [...items.values()].some(({ comment_id: of }) => `c${of}` === key);
  if (isKept) items.set(key, { ...item, status: "deleted", content_html: "" });
  else items.delete(key);
  const fresh = new Set(state.fresh);
  fresh.delete(key);
  const gone = new Set(state.gone);
  if (!isKept) gone.add(key);
  return { ...state, items, fresh, gone, total: state.total - Number(key[0] === "c" && !isKept) };
};

// An event of the socket; null: something is missing, and the list has to be loaded.
export const changed = (state, event, me) => {
  const { type, revision, comment, reply, comments_revision: latest } = event;
  const item = comment ?? reply;
  if (latest > state.revision) return null;
  if (!/^(comment|reply|page)_/.test(type) || revision <= state.revision) return state;
  if (revision > state.revision + 1 || type === "page_moved") return null;
  const next = { ...state, revision: revision ?? state.revision };
  if (!item) return drop(next, event.reply_id ? `r${event.reply_id}` : `c${event.comment_id}`);
  const known = state.items.get(keyOf(item));
  if (known) return put(next, { ...item, fav_id: known.fav_id });
  // It stands where nothing is loaded yet; or it was kept from the chat, and its replies come with it.
  if (!/created$/.test(type) || (reply && !state.items.has(`c${reply.comment_id}`))) return next;
  if (comment?.reply_count) return null;
  if (comment && state.hasMore && state.order === "created_at_asc") return { ...next, total: next.total + 1 };
  return put(next, item, item.creator.id !== me);
};

// In the order of the list: comments, each with its replies, oldest first.
export const arranged = ({ items, fresh, order }) => {
  const back = order === "created_at" ? -1 : 1;
  const shown = [...items.values()].filter((item) => !fresh.has(keyOf(item)));
  const under = {};
  for (const item of shown.sort((a, b) => a.id - b.id)) (under[item.comment_id ?? 0] ??= []).push(item);
  const byTime = (a, b) => back * (a.created_at < b.created_at ? -1 : a.created_at > b.created_at ? 1 : a.id - b.id);
  return (under[0] ?? []).sort(byTime).map((comment) => [comment, under[comment.id] ?? []]);
};

// Answers to `me` by others since a time.
export const answersTo = ({ items }, me, since) =>
  [...items.values()].filter(({ comment_id: of, reply_to: to, creator, created_at: time }) =>
    of && creator.id !== me && time > since && items.get(to ? `r${to}` : `c${of}`)?.creator.id === me);
