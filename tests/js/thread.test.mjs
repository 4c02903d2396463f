// The state of a page's comments, without a page: widget/thread.js.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test from "node:test";

const source = await readFile(new URL("../../talkee_lite/web/widget/thread.js", import.meta.url), "utf8");
const { EMPTY_THREAD, answersTo, arranged, changed, drop, extended, keyOf, loaded, put } = await import(
  `data:text/javascript,${encodeURIComponent(source)}`
);

const ME = 1;
const OTHER = 2;
const at = (second) => `2026-02-05T07:11:${String(second).padStart(2, "0")}.000000Z`;
const comment = (id, more = {}) =>
  ({ id, creator: { id: OTHER }, created_at: at(id), status: "published", content_html: `<p>${id}</p>`, reply_count: 0, fav_id: 0, ...more });
const reply = (id, of, more = {}) => comment(id, { comment_id: String(of), reply_to: 0, ...more });
const list = (items, more = {}) =>
  ({ items, total: items.filter((item) => !item.comment_id).length, revision: 5, order: "created_at_asc", hasMore: false, hasEarlier: false, ...more });
const thread = (items, more) => loaded(EMPTY_THREAD, list(items, more), ME);
const ids = (state) => arranged(state).map(([{ id }, replies]) => [id, ...replies.map((reply) => reply.id)]);

test("the first list is shown, none of it as new", () => {
  const state = thread([comment(1), comment(2), reply(1, 1)]);
  assert.deepEqual(ids(state), [[1, 1], [2]]);
  assert.equal(state.fresh.size, 0);
});

test("comments and replies have numbers of their own", () => {
  assert.equal(keyOf(comment(7)), "c7");
  assert.equal(keyOf(reply(7, 1)), "r7");
});

test("newest first turns comments around, replies stay oldest first", () => {
  const items = [comment(2), comment(1), reply(2, 1), reply(1, 1)];
  assert.deepEqual(ids(thread(items, { order: "created_at" })), [[2], [1, 1, 2]]);
});

test("of one time the lower number is older", () => {
  const time = { created_at: at(9) };
  assert.deepEqual(ids(thread([comment(2, time), comment(1, time)])), [[1], [2]]);
  assert.deepEqual(ids(thread([comment(1, time), comment(2, time)], { order: "created_at" })), [[2], [1]]);
});

test("what others wrote meanwhile waits, what one wrote does not", () => {
  const before = thread([comment(1)]);
  const state = loaded(before, list([comment(1), reply(1, 1), comment(2), comment(3, { creator: { id: ME } })]), ME);
  assert.deepEqual(ids(state), [[1], [3]]);
  assert.deepEqual([...state.fresh].sort(), ["c2", "r1"]);
  // Loaded once more it still waits.
  assert.deepEqual([...loaded(state, list([...state.items.values()]), ME).fresh].sort(), ["c2", "r1"]);
});

test("old comments that move up in a part of the list are not new", () => {
  const before = thread([comment(1), comment(2), comment(3)], { total: 9, hasMore: true });
  const later = list([comment(1), comment(3), reply(1, 3), comment(4), reply(2, 4)], { total: 8, hasMore: true });
  const state = loaded(before, later, ME);
  assert.deepEqual([...state.fresh], ["r1"]);
  assert.deepEqual(ids(state), [[1], [3], [4, 2]]);
});

test("more is put before and behind", () => {
  let state = thread([comment(5)], { hasMore: true, hasEarlier: true, total: 3 });
  state = extended(state, { items: [comment(6), reply(1, 6)], hasMore: false });
  state = extended(state, { items: [comment(4)], hasEarlier: false });
  assert.deepEqual(ids(state), [[4], [5], [6, 1]]);
  assert.deepEqual([state.hasMore, state.hasEarlier, state.total, state.fresh.size], [false, false, 3, 0]);
});

test("states are not changed, others are made of them", () => {
  const state = thread([comment(1), reply(1, 1)]);
  const kept = JSON.stringify([[...state.items], [...state.fresh], state.total]);
  drop(put(state, comment(2), true), "c1");
  changed(state, { type: "comment_created", revision: 6, comment: comment(3) }, ME);
  assert.equal(JSON.stringify([[...state.items], [...state.fresh], state.total]), kept);
  assert.equal(EMPTY_THREAD.items.size + EMPTY_THREAD.fresh.size + EMPTY_THREAD.gone.size, 0);
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
  assert.deepEqual([...next.fresh], ["c2"]);
  const published = changed(next, { type: "comment_created", revision: 6, comment: comment(2) }, ME);
  assert.equal(published.items.get("c2").status, "published");
  assert.equal(published.total, 2);
});

test("a change keeps one's own like and does not make a comment new", () => {
  const state = thread([comment(1, { fav_id: 8 })]);
  const next = changed(state, { type: "comment_updated", revision: 6, comment: comment(1, { favor_count: 2 }) }, ME);
  assert.equal(next.items.get("c1").fav_id, 8);
  assert.equal(next.items.get("c1").favor_count, 2);
  assert.equal(next.fresh.size, 0);
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
  const state = thread([comment(9)], { hasMore: true, total: 9, order: "created_at" });
  const next = changed(state, { type: "comment_created", revision: 6, comment: comment(10) }, ME);
  assert.deepEqual([...next.fresh], ["c10"]);
  assert.equal(next.total, 10);
});

test("talk that was kept comes with its replies, which are asked for", () => {
  const kept = comment(2, { reply_count: 3 });
  assert.equal(changed(thread([comment(1)]), { type: "comment_created", revision: 6, comment: kept }, ME), null);
});

test("a deleted comment is gone, however often that is heard", () => {
  const state = thread([comment(1), comment(2)]);
  const mine = drop(state, "c1");
  assert.equal(mine.total, 1);
  const heard = changed(mine, { type: "comment_deleted", revision: 6, comment_id: 1 }, ME);
  assert.equal(heard.total, 1);
  assert.equal(heard.revision, 6);
  assert.deepEqual(ids(heard), [[2]]);
});

test("a deleted comment with replies stays without its text until the last reply goes", () => {
  let state = thread([comment(1, { reply_count: 1 }), reply(1, 1)]);
  state = drop(state, "c1");
  state = changed(state, { type: "comment_deleted", revision: 6, comment_id: 1 }, ME);
  assert.deepEqual(ids(state), [[1, 1]]);
  assert.deepEqual([state.items.get("c1").status, state.items.get("c1").content_html, state.total], ["deleted", "", 1]);
  state = changed(state, { type: "reply_deleted", revision: 7, comment_id: 1, reply_id: 1 }, ME);
  state = changed(state, { type: "comment_deleted", revision: 8, comment_id: 1 }, ME);
  assert.deepEqual(ids(state), []);
  assert.equal(state.total, 0);
});

test("what is deleted is not new any more", () => {
  const state = put(thread([comment(1)]), comment(2), true);
  assert.equal(changed(state, { type: "comment_deleted", revision: 6, comment_id: 2 }, ME).fresh.size, 0);
});

test("answers are replies of others to me since a time", () => {
  const mine = { creator: { id: ME } };
  const state = thread([
    comment(1, mine),
    comment(2),
    reply(3, 1), // to my comment
    reply(4, 1, mine),
    reply(5, 2, mine),
    reply(6, 2, { reply_to: 5 }), // to my reply
    reply(7, 2),
    reply(8, 1, { reply_to: 3 }), // to somebody else, below my comment
    reply(9, 1, { created_at: at(1) }), // seen earlier
  ]);
  assert.deepEqual(answersTo(state, ME, at(2)).map(({ id }) => id), [3, 6]);
  assert.deepEqual(answersTo(state, ME, "~"), []);
});
