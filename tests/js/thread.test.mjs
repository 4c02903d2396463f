// The state of a page's comments, without a page: widget/thread.js.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";

const source = await readFile(new URL("../../talkee_lite/web/widget/thread.js", import.meta.url), "utf8");
const { EMPTY_THREAD, arranged, changed, extended, freshOf, keyOf, loaded, put, seen } = await import(
  `data:text/javascript,${encodeURIComponent(source)}`
);

const ME = 1;
const OTHER = 2;
const at = (second) => `2026-02-05T07:11:${String(second).padStart(2, "0")}.000000Z`;
const comment = (id, more = {}) =>
  ({ id, creator: { id: OTHER }, created_at: at(id), status: "published", content_html: `<p>${id}</p>`, reply_count: 0, fav_id: 0, ...more });
const reply = (id, of, more = {}) => comment(id, { comment_id: String(of), reply_to: 0, ...more });
const list = (items, more = {}) =>
  ({ items, total: items.filter((item) => !item.comment_id).length, revision: 5, isNewest: null, hasMore: false, ...more });
const thread = (items, more) => loaded(EMPTY_THREAD, list(items, more), ME);
const fresh = (state) => freshOf(state).map(keyOf).sort();
const deleted = (revision, comment_id) => ({ type: "comment_deleted", revision, comment_id });
const ids = (state) => arranged(state).map(([{ id }, replies]) => [id, ...replies.map((reply) => reply.id)]);

test("the first list is shown, none of it as new", () => {
  const state = thread([comment(1), comment(2), reply(1, 1)]);
  assert.deepEqual(ids(state), [[1, 1], [2]]);
  assert.deepEqual(fresh(state), []);
});

test("comments and replies have numbers of their own", () => {
  assert.equal(keyOf(comment(7)), "c7");
  assert.equal(keyOf(reply(7, 1)), "r7");
});

test("newest first turns comments around, replies stay oldest first", () => {
  const items = [comment(2), comment(1), reply(2, 1), reply(1, 1)];
  assert.deepEqual(ids(thread(items, { isNewest: true })), [[2], [1, 1, 2]]);
});

test("of one time the lower number is older", () => {
  const time = { created_at: at(9) };
  assert.deepEqual(ids(thread([comment(2, time), comment(1, time)])), [[1], [2]]);
  assert.deepEqual(ids(thread([comment(1, time), comment(2, time)], { isNewest: true })), [[2], [1]]);
});

test("what others wrote meanwhile waits, what one wrote does not", () => {
  const before = thread([comment(1)]);
  const state = loaded(before, list([comment(1), reply(1, 1), comment(2), comment(3, { creator: { id: ME } })]), ME);
  assert.deepEqual(ids(state), [[1], [3]]);
  assert.deepEqual(fresh(state), ["c2", "r1"]);
  // Loaded once more it still waits.
  assert.deepEqual(fresh(loaded(state, list([...state.items.values()].map(({ isFresh, ...item }) => item)), ME)), ["c2", "r1"]);
});

test("what did not change is the same object after another list, so that it is not drawn anew", () => {
  const before = thread([comment(1), comment(2), reply(1, 1)]);
  const again = (more) => loaded(before, list([comment(1), comment(2, more), reply(1, 1), comment(3)]), ME);
  const same = (state) => ["c1", "c2", "r1"].filter((key) => state.items.get(key) === before.items.get(key));
  assert.deepEqual(same(again({})), ["c1", "c2", "r1"]);
  assert.deepEqual(same(again({ favor_count: 1 })), ["c1", "r1"]);
  // What waits goes on waiting, as the same.
  const waiting = again({});
  const later = loaded(waiting, list([comment(1), comment(2), reply(1, 1), comment(3)]), ME);
  assert.equal(later.items.get("c3"), waiting.items.get("c3"));
  assert.deepEqual(fresh(later), ["c3"]);
});

test("old comments that move up in a part of the list are not new", () => {
  const before = thread([comment(1), comment(2), comment(3)], { total: 9, hasMore: true });
  const later = list([comment(1), comment(3), reply(1, 3), comment(4), reply(2, 4)], { total: 8, hasMore: true });
  const state = loaded(before, later, ME);
  assert.deepEqual(fresh(state), ["r1"]);
  assert.deepEqual(ids(state), [[1], [3], [4, 2]]);
});

test("more is put behind", () => {
  let state = thread([comment(5)], { hasMore: true, total: 9 });
  state = extended(state, { items: [comment(6), reply(1, 6)], hasMore: true });
  assert.deepEqual(ids(state), [[5], [6, 1]]);
  assert.deepEqual([state.hasMore, state.total, fresh(state)], [true, 9, []]);
  state = extended(state, { items: [comment(7)], hasMore: false });
  assert.deepEqual([ids(state), state.hasMore], [[[5], [6, 1], [7]], false]);
});

test("states are not changed, others are made of them", () => {
  const state = thread([comment(1), reply(1, 1)]);
  const kept = JSON.stringify([[...state.items], state.total]);
  changed(seen(put(state, comment(2, { isFresh: true }))), deleted(6, 1), ME);
  changed(state, { type: "comment_created", revision: 6, comment: comment(3) }, ME);
  assert.equal(JSON.stringify([[...state.items], state.total]), kept);
  assert.equal(EMPTY_THREAD.items.size, 0);
});

test("one's own comment counts once, answered and heard of", () => {
  const mine = comment(2, { creator: { id: ME } });
  const event = { type: "comment_created", revision: 6, comment: mine };
  const before = thread([comment(1)]);
  for (const state of [changed(put(before, mine), event, ME), put(changed(before, event, ME), mine)]) {
    assert.equal(state.total, 2);
    assert.deepEqual(ids(state), [[1], [2]]);
  }
});

test("an event is heard once, in order, or the list is asked for", () => {
  const state = thread([comment(1)]);
  const event = (revision) => ({ type: "comment_created", revision, comment: comment(2) });
  assert.equal(changed(state, event(5), ME), state);
  assert.equal(changed(state, event(6), ME).revision, 6);
  assert.equal(changed(state, event(7), ME), null);
  assert.equal(changed(state, { type: "page_moved", revision: 6 }, ME), null);
});

test("signs of life tell whether something is missing", () => {
  const state = thread([comment(1)]);
  assert.equal(changed(state, { type: "ready", comments_revision: 5 }, ME), state);
  assert.equal(changed(state, { type: "ping", comments_revision: 6 }, ME), null);
  assert.equal(changed(state, { type: "presence", online: 3 }, ME), state);
  assert.equal(changed(state, { type: "message", seq: 9 }, ME), state);
});

test("events of what is held do not count as changes of the page", () => {
  const state = thread([comment(1)]);
  const held = comment(2, { status: "pending" });
  const next = changed(state, { type: "comment_created", comment: held }, ME);
  assert.equal(next.revision, 5);
  assert.deepEqual(fresh(next), ["c2"]);
  const published = changed(next, { type: "comment_created", revision: 6, comment: comment(2) }, ME);
  assert.equal(published.items.get("c2").status, "published");
  assert.equal(published.total, 2);
});

test("a change keeps one's own like and does not make a comment new", () => {
  const state = thread([comment(1, { fav_id: 8 })]);
  const next = changed(state, { type: "comment_updated", revision: 6, comment: comment(1, { favor_count: 2 }) }, ME);
  assert.equal(next.items.get("c1").fav_id, 8);
  assert.equal(next.items.get("c1").favor_count, 2);
  assert.deepEqual(fresh(next), []);
});

test("what happens to comments that are not loaded is only counted", () => {
  const state = thread([comment(1)], { hasMore: true, total: 30 });
  const created = changed(state, { type: "comment_created", revision: 6, comment: comment(31) }, ME);
  assert.equal(created.total, 31);
  assert.deepEqual(ids(created), [[1]]);
  const answered = changed(created, { type: "reply_created", revision: 7, reply: reply(1, 20) }, ME);
  assert.deepEqual(ids(answered), [[1]]);
  assert.equal(changed(answered, { type: "comment_updated", revision: 8, comment: comment(20) }, ME).items.size, 1);
  assert.equal(changed(answered, { type: "comment_deleted", revision: 8, comment_id: 20 }, ME).total, 30);
});

test("with the newest first a new one is announced though there are more", () => {
  const state = thread([comment(9)], { hasMore: true, total: 9, isNewest: true });
  const next = changed(state, { type: "comment_created", revision: 6, comment: comment(10) }, ME);
  assert.deepEqual(fresh(next), ["c10"]);
  assert.equal(next.total, 10);
});

test("talk that was kept comes with its replies, which are asked for", () => {
  const kept = comment(2, { reply_count: 3 });
  assert.equal(changed(thread([comment(1)]), { type: "comment_created", revision: 6, comment: kept }, ME), null);
});

test("a deleted comment is gone, however often that is heard", () => {
  let state = changed(thread([comment(1), comment(2)]), deleted(6, 1), ME);
  assert.deepEqual([state.total, state.revision, ids(state)], [1, 6, [[2]]]);
  state = changed(state, deleted(6, 1), ME);
  assert.deepEqual([state.total, ids(state)], [1, [[2]]]);
});

test("what was held and is gone is not counted twice", () => {
  const state = thread([comment(1), comment(2, { status: "pending" })]);
  const next = changed(state, deleted(undefined, 2), ME);
  assert.deepEqual([next.total, next.revision, ids(next)], [1, 5, [[1]]]);
  assert.equal(changed(next, deleted(undefined, 2), ME).total, 1);
});

test("a deleted comment with replies stays without its text until the last reply goes", () => {
  let state = thread([comment(1, { reply_count: 1 }), reply(1, 1)]);
  state = changed(state, deleted(6, 1), ME);
  assert.deepEqual(ids(state), [[1, 1]]);
  assert.deepEqual([state.items.get("c1").status, state.items.get("c1").content_html, state.total], ["deleted", "", 1]);
  state = changed(state, { type: "reply_deleted", revision: 7, comment_id: 1, reply_id: 1 }, ME);
  state = changed(state, { type: "comment_deleted", revision: 8, comment_id: 1 }, ME);
  assert.deepEqual(ids(state), []);
  assert.equal(state.total, 0);
});

test("what was asked for is not new any more, and nothing else is touched", () => {
  const state = put(thread([comment(1)]), comment(2, { isFresh: true }));
  assert.deepEqual([ids(state), ids(seen(state)), fresh(seen(state))], [[[1]], [[1], [2]], []]);
  assert.equal(seen(state).items.get("c1"), state.items.get("c1"));
});

test("a change of what waits leaves it waiting", () => {
  const state = put(thread([comment(1)]), comment(2, { isFresh: true }));
  const next = changed(state, { type: "comment_updated", revision: 6, comment: comment(2, { favor_count: 1 }) }, ME);
  assert.deepEqual(fresh(next), ["c2"]);
});

test("there is no more where all are shown", () => {
  assert.equal(thread([comment(1), comment(2)], { hasMore: true, total: 2 }).hasMore, false);
  assert.equal(thread([comment(1), comment(2)], { hasMore: true, total: 3 }).hasMore, true);
});

test("what is deleted is not new any more", () => {
  const state = put(thread([comment(1)]), comment(2, { isFresh: true }));
  assert.deepEqual(fresh(changed(state, deleted(6, 2), ME)), []);
});

test("beside what one wrote before the first list came nothing is new", () => {
  const own = comment(2, { creator: { id: ME } });
  const state = put(EMPTY_THREAD, own);
  assert.deepEqual(fresh(loaded(state, list([comment(1), own]), ME)), []);
});

test("before the first list came anything that is heard asks for it", () => {
  assert.equal(changed(EMPTY_THREAD, { type: "ready", comments_revision: 0 }, ME), null);
  assert.equal(changed(EMPTY_THREAD, { type: "comment_created", revision: 1, comment: comment(1) }, ME), null);
});
