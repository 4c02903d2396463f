// The comments of a page, as pure functions from one state to the next.
//
// `items` holds comments and replies by their keys; those with `isFresh` wait until the reader asks
// for them; `hasMore`: there are others behind.

export const EMPTY_THREAD = { items: new Map(), total: 0, revision: -1 };

export const keyOf = ({ comment_id: of, id }) => (of ? "r" : "c") + id;

const within = (state, added) => {
  const items = new Map([...state.items, ...added.map((item) => [keyOf(item), item])]);
  const comments = [...items.values()].filter((item) => !item.comment_id);
  return { ...state, items, hasMore: state.hasMore && comments.length < state.total };
};

// Whether a new comment would stand where nothing is loaded yet.
export const isBeyond = ({ hasMore, isNewest }) => hasMore && !isNewest;

// A list came: `{items, total, revision, hasMore, isNewest}`. What the reader did not have before is
// fresh, unless it is their own, or there was no list yet, or they had not come so far.
export const loaded = (state, list, me) => {
  const { items: before, revision } = state;
  const isOpen = isBeyond(state);
  return within({ ...list, items: [] }, list.items.map((item) => {
    const known = before.get(keyOf(item));
    const isBehind = isOpen && !(item.comment_id ? before.has(`c${item.comment_id}`) : known);
    const isFresh = revision >= 0 && item.creator.id !== me && !isBehind && (!known || known.isFresh);
    const next = isFresh ? { ...item, isFresh } : item;
    // What did not change stays the same object, so that nobody has to draw it anew.
    return JSON.stringify(known) === JSON.stringify(next) ? known : next;
  }));
};

// What lies behind those that are shown.
export const extended = (state, { items, hasMore }) => within({ ...state, hasMore }, items);

export const put = (state, item) =>
  within({ ...state, total: state.total + (item.comment_id || state.items.has(keyOf(item)) ? 0 : 1) }, [item]);

// The reader asked for what waited.
export const seen = (state) =>
  within(state, freshOf(state).map((item) => ({ ...item, isFresh: false })));

export const freshOf = ({ items }) => [...items.values()].filter(({ isFresh }) => isFresh);

// A comment with replies stays, without its text.
const drop = (state, key) => {
  const items = new Map(state.items);
  const item = items.get(key);
  const isKept = item && [...items.values()].some(({ comment_id: of }) => `c${of}` === key);
  if (isKept) items.set(key, { ...item, status: "deleted", content_html: "", isFresh: false });
  else items.delete(key);
  return { ...state, items, total: state.total - (key[0] === "r" || isKept ? 0 : 1) };
};

// An event of the socket; null: something is missing, and the list has to be loaded.
export const changed = (state, event, me) => {
  const { type, revision, comment, reply, comments_revision: latest } = event;
  const item = comment ?? reply;
  if (latest > state.revision) return null;
  if (!/^(comment|reply|page)_/.test(type) || revision <= state.revision) return state;
  if (revision > state.revision + 1 || type === "page_moved") return null;
  const next = { ...state, revision: revision ?? state.revision };
  if (!item) {
    const key = goneIn(event);
    // What is held has no revision, and may have been told already.
    return revision || state.items.has(key) ? drop(next, key) : next;
  }
  const known = state.items.get(keyOf(item));
  if (known) return put(next, { ...item, fav_id: known.fav_id, isFresh: known.isFresh });
  // It was kept from the chat, and its replies come with it; or it stands where nothing is loaded.
  if (!/created$/.test(type) || (reply && !state.items.has(`c${reply.comment_id}`))) return next;
  if (comment?.reply_count) return null;
  if (comment && isBeyond(state)) return { ...next, total: next.total + 1 };
  return put(next, { ...item, isFresh: item.creator.id !== me });
};

// The key of what an event says was deleted.
export const goneIn = ({ reply_id: reply, comment_id: comment }) => (reply ? `r${reply}` : `c${comment}`);

// In the order of the list: comments, each with its replies, oldest first; with those that wait?
export const arranged = ({ items, isNewest }, isAll) => {
  const shown = [...items.values()].filter(({ isFresh }) => isAll || !isFresh);
  const under = {};
  shown.sort((a, b) => (a.created_at > b.created_at) - (a.created_at < b.created_at) || a.id - b.id);
  for (const item of shown) (under[item.comment_id ?? 0] ??= []).push(item);
  const pairs = (under[0] ?? []).map((comment) => [comment, under[comment.id] ?? []]);
  return isNewest ? pairs.reverse() : pairs;
};
