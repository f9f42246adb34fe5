/** A camera goes, the broker goes, the daemon itself is killed: the rest goes on, and what comes back is whole. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { descendantsOf } from "../support/daemon.ts";
import { withoutModels } from "../support/models.ts";
import { THREE_PEOPLE, visitClip } from "../support/people.ts";
import { startProxy } from "../support/proxy.ts";
import { BASE, reasons, type Site, said, startSite } from "../support/site.ts";
import { monotonicNow, Tap, until } from "../support/tap.ts";

const skip = withoutModels();
if (skip !== false) console.error(skip);

const WAIT_MS = 45_000;
const STALL_MS = 2000;
const CONNECT_MS = 5000;
/** Longest wait between two tries on a local network (backoff.localMaxMs). */
const BACKOFF_MS = 1000;
/** For a machine that is shared with other tests. */
const SLACK_MS = 1500;

describe("outages", { skip, concurrency: 1 }, () => {
  let site: Site;
  let proxy: Awaited<ReturnType<typeof startProxy>>;
  let visit: string;

  before(async () => {
    visit = await visitClip(THREE_PEOPLE);
    site = await startSite({
      cameras: ["front", "back"].map((id) => ({
        id,
        options: { stallMs: STALL_MS, connectMs: CONNECT_MS },
      })),
      brokerUrl: async (broker) => {
        proxy = await startProxy(broker.port);
        return `mqtt://127.0.0.1:${proxy.port}`;
      },
    });
  });
  after(async () => {
    await site?.[Symbol.asyncDispose]();
    await proxy?.[Symbol.asyncDispose]();
  });

  const strangers = (door: string) => (all: ReturnType<Site["since"]>) =>
    reasons(all, "unknown").filter((decision) => decision.door === door).length >= 3;

  test("a camera that is killed is offline soon, the other one decides on, and it is back soon", async () => {
    const killed = monotonicNow();
    await site.camera("front").kill();
    const offline = await site.cameraIs("front", "offline", killed, WAIT_MS);
    console.log(`camera killed → offline: ${Math.round(offline - killed)} ms`);
    assert(offline - killed <= STALL_MS + 1000 + SLACK_MS);
    await site.visit("back", visit, strangers("back-door"));
    assert.deepEqual(site.tap.on("camera/back/state", killed), [], "the other camera says nothing");
    const revived = monotonicNow();
    await site.camera("front").revive();
    const online = await site.cameraIs("front", "online", revived, WAIT_MS);
    console.log(`stream back → frames again: ${Math.round(online - revived)} ms`);
    // Now and then GStreamer's server accepts a client and sends it nothing: then another try is due.
    const mute = lines("camera lost; will reconnect").filter(
      (line) => line["code"] === "connect_timeout",
    );
    assert(online - revived <= 2000 + BACKOFF_MS + SLACK_MS + mute.length * CONNECT_MS);
    await site.visit("front", visit, strangers("front-door"));
  });

  test("a camera that falls silent on a living connection is offline soon, and back", async () => {
    const frozen = monotonicNow();
    await site.camera("front").freeze();
    const offline = await site
      .cameraIs("front", "offline", frozen, WAIT_MS)
      .finally(() => site.camera("front").thaw());
    console.log(
      `camera silent → offline: ${Math.round(offline - frozen)} ms (stallMs ${STALL_MS})`,
    );
    const online = await site.cameraIs("front", "online", offline, WAIT_MS);
    console.log(`camera thawed → frames again: ${Math.round(online - offline)} ms`);
    assert(offline - frozen <= STALL_MS + 1000 + SLACK_MS);
    assert.deepEqual(site.tap.on("camera/back/state", frozen), [], "the other camera says nothing");
  });

  test("the broker is killed and comes back: states again, events whole, what has expired stays unsaid", async () => {
    const killed = monotonicNow();
    await site.broker.kill();
    await until(
      () => !site.tap.connected && !site.door.connected,
      "everybody has noticed",
      WAIT_MS,
    );
    const logged = decidedLines().length;
    await site.camera("front").play(visit);
    await site.eventually(
      () => decidedLines().length >= logged + 3,
      "decisions without a broker",
      WAIT_MS,
    );
    const away = decidedLines().slice(logged);
    // The longest life of a decision (decision.decisionTtlMs) passes.
    const dead = Date.now() + 5000;
    await until(() => Date.now() > dead, "they have expired", WAIT_MS);
    proxy.refuse(true);
    await site.broker.start();
    await until(
      () => site.tap.connected && site.door.connected,
      "the others are back first",
      WAIT_MS,
    );
    const back = monotonicNow();
    proxy.refuse(false);
    await site.eventually(() => site.presence(back) === "online", "state is said again", WAIT_MS);
    console.log(`broker back → online: ${Math.round(monotonicNow() - back)} ms`);
    for (const topic of [
      "info",
      "camera/front/state",
      "camera/back/state",
      "door/front-door/state",
    ]) {
      await site.eventually(
        () => site.tap.last(`${BASE}${topic}`, back),
        `${topic} again`,
        WAIT_MS,
      );
    }
    await site.connectCommands();
    await site.settled();
    await site.visit("front", visit, strangers("front-door"));
    // Everything that was decided while nobody heard is in the history, and nowhere on the live feed.
    const ids = away.map((line) => line["decisionId"]);
    await site.eventually(
      () => ids.every((id) => site.events(back).some(({ body }) => body["id"] === id)),
      "events of the outage",
      WAIT_MS,
    );
    const live = site.tap
      .on(`${BASE}decision`, killed)
      .map(({ text }) => JSON.parse(JSON.parse(text).payload)["id"]);
    assert.deepEqual(
      ids.filter((id) => live.includes(id)),
      [],
    );
    assert.deepEqual(
      site.since(killed).filter(({ issuedAtMs }) => issuedAtMs < dead - 5000),
      [],
    );
    const numbers = [...new Set(site.events().map(({ seq }) => seq))].sort((a, b) => a - b);
    assert.deepEqual(
      numbers,
      Array.from({ length: numbers.length }, (_, index) => index + (numbers[0] ?? 0)),
      "no event is missing",
    );
    await using late = await Tap.open(site.broker.url);
    for (const topic of [
      "state",
      "info",
      "camera/front/state",
      "camera/back/state",
      "door/front-door/state",
    ]) {
      await until(
        () => late.on(`${BASE}${topic}`).some(({ retain }) => retain),
        `${topic} is retained`,
        WAIT_MS,
      );
    }
    assert.deepEqual(late.on(`${BASE}decision`), []);
  });

  test("a line that goes dead without a word: the daemon connects again and says the same", async () => {
    const from = monotonicNow();
    proxy.cut();
    await site.eventually(() => site.presence(from) === "online", "online is said again", WAIT_MS);
    const decisions = await site.visit("front", visit, strangers("front-door"));
    assert(decisions.length > 0, said(decisions));
  });

  test("killed: no decoder and no vision outlives the daemon; it starts again on what it left", async () => {
    const orphans = descendantsOf(site.daemon.pid);
    assert(orphans.length >= 3, "two decoders and vision");
    await site.kill();
    await until(
      () => orphans.every((pid) => !existsSync(`/proc/${pid}`)),
      "all its children are gone",
      WAIT_MS,
    );
    await site.start();
    await site.stop();
  });

  const lines = (message: string) => site.daemon.log.filter((line) => line["message"] === message);
  const decidedLines = () => lines("decided");
});
