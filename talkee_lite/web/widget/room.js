// What a chat room holds, as pure functions from one state to the next.
//
// `items`: what is shown, oldest first: stored messages by `seq`, then those on their way, which have
// none. Everything up to `seq` in the room's record of `epoch` is in them.

export const EMPTY_ROOM = { epoch: null, seq: -1, items: [], hasOlder: false };

const within = (state, items, messages) => {
  const all = new Map(items.map((item) => [item.message_id, item]));
  for (const message of messages) {
    if (!all.get(message.message_id)?.seq) all.set(message.message_id, message);
  }
  const sorted = [...all.values()].sort((a, b) => (a.seq || Infinity) - (b.seq || Infinity) || 0);
  return { ...state, items: sorted };
};

// The latest list came. Where more was missed than is in it, what is shown does not join on; another
// epoch is another database, such as a backup that was restored.
export const listed = (state, { data, seq, epoch, has_more: hasOlder }) => {
  const first = data[0]?.seq ?? seq;
  const joins = epoch === state.epoch && first <= state.seq + 1;
  const kept = state.items.filter(
    (item) => !item.seq || (joins && (item.seq > seq || (hasOlder && item.seq < first))),
  );
  const isLonger = kept.some((item) => item.seq < first);
  return within({ epoch, seq, hasOlder: isLonger ? state.hasOlder : hasOlder }, kept, data);
};

// What was before the oldest that is shown.
export const older = (state, { data, has_more: hasOlder }) => within({ ...state, hasOlder }, state.items, data);

// An event of the socket; null: something is missing, and the list has to be loaded.
export const heard = (state, event) => {
  const { seq = null, type, message_id: id, user_id: author, epoch = state.epoch } = event;
  if (seq === null) return state;
  if (epoch !== state.epoch) return null;
  if (seq <= state.seq) return state;
  if (seq > state.seq + 1 || /^(ping|ready)$/.test(type)) return null;
  const left = state.items.filter(
    (item) => !item.seq || (type === "message_deleted" ? item.message_id !== id : type !== "messages_removed" || item.user.id !== author),
  );
  return within({ ...state, seq }, left, type === "message" ? [event] : []);
};

// One's own messages on their way: one is there, one or all change, one is gone.
export const sending = (state, draft) => within(state, state.items, [draft]);

export const settled = (state, change, id) =>
  within(state, state.items.map((item) => (item.seq || (id && item.message_id !== id) ? item : { ...item, ...change })), []);

export const dropped = (state, id) => ({
  ...state,
  items: state.items.filter((item) => item.message_id !== id || item.seq),
});

// A room that talks all day does not fill the page: the oldest beyond `most` can be loaded again.
export const trimmed = (state, most) =>
  state.items.length > most ? { ...state, items: state.items.slice(-most), hasOlder: true } : state;
