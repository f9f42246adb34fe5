import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { commandOf, replyAddressOf, topicsOf } from "../../src/mqtt/topics.ts";

const topics = topicsOf("lab/box");
const KID = "0123456789abcdef";

test("names below the base", () => {
  assert.equal(topics.state, "ostiary/v1/lab/box/state");
  assert.equal(topics.commands, "ostiary/v1/lab/box/command/#");
  assert.equal(topics.retained("camera/hall/state"), "ostiary/v1/lab/box/camera/hall/state");
  assert.equal(topics.response(KID, "me"), `ostiary/v1/lab/box/response/${KID}/me`);
});

test("what is built is taken apart again", () => {
  assert.equal(commandOf(topics, topics.command("enrolment/add-image")), "enrolment/add-image");
  assert.deepEqual(replyAddressOf(topics, topics.response(KID, "me")), { kid: KID, replyTo: "me" });
});

test("foreign topics are nobody's", () => {
  for (const topic of [
    "",
    "ostiary/v1/lab/bax/command/a",
    "ostiary/v1/lab/box/command/",
    "ostiary/v1/lab/box/command/A/../b",
  ]) {
    assert.equal(commandOf(topics, topic), undefined, topic);
  }
  for (const tail of [
    "",
    KID,
    `${KID}/`,
    `${KID}/a/b`,
    `${KID}/+`,
    `${KID}/#`,
    `${KID.toUpperCase()}/me`,
    "short/me",
  ]) {
    assert.equal(replyAddressOf(topics, `ostiary/v1/lab/box/response/${tail}`), undefined, tail);
  }
});

test("no text leads to an answer outside response/", () => {
  fc.assert(
    fc.property(fc.string(), (tail) => {
      const address = replyAddressOf(topics, `${topics.base}response/${tail}`);
      return (
        address === undefined ||
        topics.response(address.kid, address.replyTo) === `${topics.base}response/${tail}`
      );
    }),
  );
});
