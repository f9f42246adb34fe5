/** A camera goes, the broker goes, the daemon itself is killed: the rest goes on, and what comes back is whole. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, beforeEach, describe, test } from "node:test";
import { descendantsOf } from "../support/daemon.ts";
import { withoutModels } from "../support/models.ts";
import { THREE_PEOPLE, visitClip } from "../support/people.ts";
import { startProxy } from "../support/proxy.ts";
import { BASE, reasons, type Site, said, startSite } from "../support/site.ts";
import { monotonicNow, Tap, until } from "../support/tap.ts";

const skip = withoutModels();
if (skip !== false) console.error(skip);

const WAIT_MS = 30_000;
const STALL_MS = 2000;
const CONNECT_MS = 5000;
/** Longest wait between two tries on a local network (backoff.localMaxMs). */
const BACKOFF_MS = 1000;
/** For a machine that others use too; test/bench/camera.ts measures a quiet one. */
const SLACK_MS = 5000;

type CameraReport = Readonly<Record<string, unknown>>;

const statesOf = (status: Readonly<Record<string, unknown>>): readonly CameraReport[] =>
  status["cameras"] as readonly CameraReport[];
const countsOf = ({ reconnects, stalls, frozen, drifts, overshoots }: CameraReport) => ({
  reconnects,
  stalls,
  frozen,
  drifts,
  overshoots,
});

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

  // Whatever the test before has broken and left: one failure stays one failure.
  beforeEach(async () => {
    await site.camera("front").mend();
    await site.broker.start();
    proxy.refuse(false);
    if (!site.daemon.running) await site.start();
    await site.eventually(() => site.tap.connected && site.door.connected, "all listen", WAIT_MS);
    await site.connectCommands();
    await site.eventually(
      async () => statesOf(await site.status()).every((camera) => camera["status"] === "online"),
      "both cameras are online",
      WAIT_MS,
      200,
    );
    await site.settled();
  });

  const strangers = (door: string) => (all: ReturnType<Site["since"]>) =>
    reasons(all, "unknown").filter((decision) => decision.door === door).length >= 3;

  test("a camera that is killed is offline soon, the other one decides on, and it is back soon", async () => {
    const before = await stateOf("back");
    const killed = monotonicNow();
    await site.camera("front").kill();
    const offline = await site.cameraIs("front", "offline", killed, WAIT_MS);
    console.log(`camera killed → offline: ${Math.round(offline - killed)} ms`);
    assert(offline - killed <= STALL_MS + 1000 + SLACK_MS);
    await site.visit("back", visit, strangers("back-door"));
    await goesOn(before, killed);
    const revived = monotonicNow();
    await site.camera("front").revive();
    const online = await site.cameraIs("front", "online", revived, WAIT_MS);
    console.log(`stream back → frames again: ${Math.round(online - revived)} ms`);
    assert(online - revived <= 2000 + BACKOFF_MS + SLACK_MS);
    await site.visit("front", visit, strangers("front-door"));
  });

  test("a camera that falls silent on a living connection is offline soon, and back", async () => {
    const before = await stateOf("back");
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
    await goesOn(before, frozen);
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

  /** The camera was neither lost nor given another decoder since `before`, and its frames come. */
  async function goesOn(before: CameraReport, since: number): Promise<void> {
    const told = site.tap
      .on("camera/back/state", since)
      .map(({ text }) => String(JSON.parse(text)["status"]));
    assert.deepEqual(
      told.filter((status) => !["online", "degraded"].includes(status)),
      [],
      `the other camera was said to be ${told.join(", ")}`,
    );
    assert.deepEqual(
      countsOf(await stateOf("back")),
      countsOf(before),
      "the other camera's counts",
    );
    await site.eventually(
      async () => Number((await stateOf("back"))["frameAgeMs"]) < STALL_MS,
      "the other camera's frames come",
      WAIT_MS,
    );
  }

  async function stateOf(id: string): Promise<CameraReport> {
    const found = statesOf(await site.status()).find(({ camera }) => camera === id);
    assert(found !== undefined, `no state of camera ${id}`);
    return found;
  }

  const lines = (message: string) => site.daemon.log.filter((line) => line["message"] === message);
  const decidedLines = () => lines("decided");
});
