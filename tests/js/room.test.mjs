// What a chat room holds, by plain calls.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  EMPTY_ROOM, dropped, heard, listed, older, sending, settled, trimmed,
} from "../../talkee_lite/web/widget/room.js";

const said = (seq, more = {}) => ({ type: "message", message_id: `m${seq}`, seq, user: { id: 1 }, ...more });
const list = (seqs, more = {}) => ({
  epoch: "e", seq: seqs.at(-1) ?? 0, has_more: false, data: seqs.map((seq) => said(seq)), ...more,
});
const ids = ({ items }) => items.map(({ message_id: id }) => id);
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const roomOf = (...seqs) => listed(EMPTY_ROOM, list(seqs));
const frozen = (state) => {
  state.items.forEach(Object.freeze);
  Object.freeze(state.items);
  return Object.freeze(state);
};

test("the latest list is what a room begins with", () => {
  const state = roomOf(1, 2, 3);
  assert.deepEqual(ids(state), ["m1", "m2", "m3"]);
  assert.deepEqual([state.seq, state.epoch, state.hasOlder], [3, "e", false]);
  assert.equal(EMPTY_ROOM.items.length, 0);
});

test("what is heard comes behind, and counts", () => {
  const state = heard(roomOf(1), said(2));
  assert.deepEqual(ids(state), ["m1", "m2"]);
  assert.equal(state.seq, 2);
});

test("what is heard twice changes nothing", () => {
  const state = roomOf(1, 2);
  assert.equal(heard(state, said(2)), state);
  assert.equal(heard(state, said(1)), state);
});

test("before there is a list whatever happens asks for it", () => {
  assert.equal(heard(EMPTY_ROOM, said(1)), null);
  assert.equal(heard(EMPTY_ROOM, { type: "presence", online: 3 }), EMPTY_ROOM);
});

test("events without a place in the record change nothing", () => {
  const state = roomOf(1);
  assert.equal(heard(state, { type: "presence", online: 3 }), state);
});

test("a hole is told, whatever the event", () => {
  for (const type of ["message", "message_deleted", "gap", "what nobody knows yet"]) {
    assert.equal(heard(roomOf(1), said(3, { type })), null, type);
  }
});

test("a ping or a new socket behind the list tells of what was missed, and otherwise of nothing", () => {
  for (const type of ["ping", "ready"]) {
    const state = roomOf(1, 2);
    assert.equal(heard(state, { type, seq: null, epoch: null }), state);
    assert.equal(heard(state, { type, seq: 2, epoch: "e" }), state);
    assert.equal(heard(state, { type, seq: 1, epoch: "another" }), null);
    assert.equal(heard(state, { type, seq: 2 }), state);
    assert.equal(heard(state, { type, seq: 3 }), null);
  }
});

test("an event that nobody knows counts, and shows nothing", () => {
  const state = heard(roomOf(1), { type: "reaction", seq: 2 });
  assert.deepEqual([ids(state), state.seq], [["m1"], 2]);
  assert.deepEqual(ids(heard(state, { type: "gap", seq: 3 })), ["m1"]);
});

test("a deleted message goes, and all of somebody's do", () => {
  let state = listed(EMPTY_ROOM, {
    ...list([1, 2, 3]), data: [said(1), said(2, { user: { id: 2 } }), said(3)],
  });
  state = heard(state, { type: "message_deleted", seq: 4, message_id: "m3", deleted_seq: 3 });
  assert.deepEqual(ids(state), ["m1", "m2"]);
  state = heard(state, { type: "messages_removed", seq: 5, user_id: 1 });
  assert.deepEqual(ids(state), ["m2"]);
});

test("what is on its way stands last, and takes its place when it is stored", () => {
  let state = sending(roomOf(1), { message_id: "mine", user: { id: 1 } });
  state = heard(state, said(2));
  assert.deepEqual(ids(state), ["m1", "m2", "mine"]);
  state = settled(state, said(3, { message_id: "mine" }), "mine");
  state = heard(state, said(3, { message_id: "mine" }));
  state = heard(state, said(4));
  assert.deepEqual(ids(state), ["m1", "m2", "mine", "m4"]);
  assert.equal(state.items.filter(({ seq }) => !seq).length, 0);
});

test("one's own that is heard before the answer is not doubled, nor undone by a late refusal", () => {
  let state = sending(roomOf(1), { message_id: "mine", user: { id: 1 } });
  state = heard(state, said(2, { message_id: "mine" }));
  assert.deepEqual(ids(state), ["m1", "mine"]);
  assert.deepEqual(settled(state, { error: {} }, "mine"), state);
  assert.deepEqual(dropped(state, "mine"), state);
  assert.deepEqual(settled(state, said(2, { message_id: "mine" }), "mine"), state);
});

test("several on their way keep the order of writing", () => {
  let state = roomOf(1);
  for (const id of ["a", "b", "c"]) state = sending(state, { message_id: id, user: { id: 1 } });
  state = settled(state, { error: { status: 0 } }, "b");
  state = heard(state, said(2));
  assert.deepEqual(ids(state), ["m1", "m2", "a", "b", "c"]);
  assert.deepEqual(ids(dropped(state, "b")), ["m1", "m2", "a", "c"]);
});

test("a list that is loaded again adds what was missed and takes what is gone", () => {
  const state = listed(roomOf(1, 2, 3), { ...list([1, 3, 4, 5]), seq: 6 });
  assert.deepEqual(ids(state), ["m1", "m3", "m4", "m5"]);
  assert.equal(state.seq, 6);
});

test("the first message goes when it was deleted meanwhile", () => {
  assert.deepEqual(ids(listed(roomOf(1, 2), { ...list([2]), seq: 3 })), ["m2"]);
  assert.deepEqual(ids(listed(roomOf(1), { ...list([]), seq: 2 })), []);
});

test("older ones stay where a list joins on to them", () => {
  let state = listed(EMPTY_ROOM, list(range(101, 200), { has_more: true }));
  state = older(state, { data: range(51, 100).map((seq) => said(seq)), has_more: true });
  assert.deepEqual(ids(state), range(51, 200).map((seq) => `m${seq}`));
  state = listed(state, list(range(111, 210), { has_more: true }));
  assert.deepEqual(ids(state), range(51, 210).map((seq) => `m${seq}`));
  assert.equal(state.hasOlder, true);
  state = older(state, { data: range(1, 50).map((seq) => said(seq)), has_more: false });
  // Nothing is before the first, whatever the latest list says of itself.
  assert.equal(listed(state, list(range(111, 210), { has_more: true })).hasOlder, false);
});

test("where more was missed than a list holds, what is shown has no hole", () => {
  const state = listed(roomOf(1, 2), list(range(50, 149), { has_more: true }));
  assert.deepEqual(ids(state), range(50, 149).map((seq) => `m${seq}`));
  assert.equal(state.hasOlder, true);
});

test("another database is another room, but what is on its way stays", () => {
  const before = sending(roomOf(1, 2), { message_id: "mine", user: { id: 1 } });
  const state = listed(before, list([1], { epoch: "other" }));
  assert.deepEqual(ids(state), ["m1", "mine"]);
  assert.equal(state.epoch, "other");
});

test("what was heard is not lost by a list that is older", () => {
  const state = listed(heard(roomOf(1), said(2)), list([1]));
  assert.deepEqual(ids(state), ["m1", "m2"]);
});

test("a room that talks all day keeps the newest, and can load the others again", () => {
  const state = roomOf(...range(1, 10));
  assert.equal(trimmed(state, 10), state);
  assert.deepEqual(ids(trimmed(state, 4)), ["m7", "m8", "m9", "m10"]);
  assert.equal(trimmed(state, 4).hasOlder, true);
});

test("nothing changes a state that was", () => {
  const state = frozen(sending(roomOf(1, 2), { message_id: "mine", user: { id: 1 } }));
  heard(state, said(3));
  heard(state, { type: "message_deleted", seq: 3, message_id: "m1" });
  listed(state, list([2, 3]));
  older(state, { data: [said(0.5)], has_more: false });
  settled(state, { error: {} }, "mine");
  dropped(state, "mine");
  trimmed(state, 1);
  assert.deepEqual(ids(state), ["m1", "m2", "mine"]);
});

test("however a talk is cut into lists, events and repeats, it ends the same", () => {
  // A small generator of its own, so that a failure can be had again.
  let number = 7;
  const random = (below) => (number = (number * 48271) % 2147483647) % below;
  for (let round = 0; round < 200; round++) {
    const log = [];
    const alive = () => {
      const gone = new Set(log.filter(({ type }) => type === "message_deleted").map(({ message_id: id }) => id));
      return log.filter(({ type, message_id: id }) => type === "message" && !gone.has(id));
    };
    const latest = () => {
      const data = alive().slice(-5);
      return { epoch: "e", seq: log.length, has_more: alive().length > 5, data };
    };
    let state = listed(EMPTY_ROOM, latest());
    let missed = 0;
    for (let step = 0; step < 40; step++) {
      const last = alive().at(-1 - random(3));
      const seq = log.length + 1;
      const event = random(4) || !last
        ? said(seq)
        : { type: "message_deleted", seq, message_id: last.message_id };
      log.push(event);
      if (missed < 2 && random(5) < (missed ? 4 : 1)) {
        missed++;
        continue;
      }
      missed = 0;
      for (let times = 1 + random(2); times > 0; times--) {
        state = heard(state, event) ?? listed(state, latest());
      }
    }
    state = listed(state, latest());
    const right = alive().map(({ message_id: id }) => id);
    // The newest of them, without a hole: how many depends on what was missed.
    assert.deepEqual(ids(state).slice(-5), right.slice(-5), `round ${round}`);
    assert.deepEqual(ids(state), right.slice(-state.items.length), `round ${round}`);
  }
});
