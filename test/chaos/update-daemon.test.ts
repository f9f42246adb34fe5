/**
 * The whole daemon is killed in the states of an update, each time at another moment of them, and goes on
 * from there. OSTIARY_DAEMON_POINTS asks for more kills than `npm test` takes.
 */
import assert from "node:assert/strict";
import { mkdtemp, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { addPack } from "../../scripts/release/packs.ts";
import { seal } from "../../src/mqtt/envelope.ts";
import type { UpdateStateName } from "../../src/release/state.ts";
import { readPackOnDisk } from "../../src/vision/read-pack.ts";
import { newSigner } from "../mqtt/harness.ts";
import { seeded } from "../store/support.ts";
import { withoutModels } from "../support/models.ts";
import { packVariant } from "../support/packs-variants.ts";
import { TestRepository } from "../support/release.ts";
import { DEVICE, SITE, type Site, startSite } from "../support/site.ts";

const points = Number(process.env["OSTIARY_DAEMON_POINTS"] ?? 5);
const UPDATE_MS = 120_000;
/** Latest moment of a kill, after its state was entered. */
const DELAY_MAX_MS = 250;

/** Before the candidate serves it may be interrupted as often as one likes; after that once. */
const EARLY: readonly UpdateStateName[] = [
  "checked",
  "downloading",
  "staged",
  "self-tested",
  "re-embedding",
  "shadow",
];
const LATE: readonly UpdateStateName[] = ["activating", "probation"];

describe(`a daemon killed ${points} times while it updates`, { skip: withoutModels() }, () => {
  const stack = new AsyncDisposableStack();
  const director = newSigner();
  const random = seeded(31);
  const pack = packVariant("turned");
  let site: Site;
  let sha256 = "";

  before(async () => {
    const directory = await mkdtemp(join(tmpdir(), "ostiary-update-daemon-"));
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    const made = await TestRepository.make(directory);
    await addPack(made.workspace, pack.directory, ["x64", "arm64"], async () => {}, made.means);
    await made.publish();
    const trust = { root: made.pinnedRoot, director: join(directory, "director.pub") };
    await writeFile(trust.director, `${director.publicKey}\n`);
    sha256 = (await readPackOnDisk(pack.directory)).sha256;
    const update = {
      repository: { url: made.url },
      trust,
      temperatureMaxC: 120,
      selfTest: { runs: 2, p95MaxMs: 60_000 },
      shadow: {
        everyMs: 100,
        frameAgeMaxMs: 5000,
        framesMin: 4,
        comparedMin: 0,
        durationMinMs: 0,
        p95MaxMs: 60_000,
      },
      probation: { durationMs: 1500, framesMin: 3, p95MaxMs: 60_000 },
    };
    site = stack.use(await startSite({ config: { update } }));
  });
  after(() => stack.disposeAsync());

  async function wish(attempt: number): Promise<void> {
    const { id, releaseCounter } = pack.pack;
    const now = Date.now();
    const at = (ms: number): string => new Date(now + ms).toISOString();
    const payload = JSON.stringify({
      schema: 1,
      kind: "desired",
      aud: `${SITE}/${DEVICE}`,
      jobId: `job-${String(attempt).padStart(5, "0")}`,
      seq: attempt,
      pack: { id, sha256, releaseCounter },
      ring: "canary",
      issuedAt: at(0),
      from: at(-1000),
      until: at(3_600_000),
      attemptEpoch: attempt,
    });
    const text = JSON.stringify(seal(payload, director));
    await site.door.publishAsync(`${site.base}update/desired`, text, { qos: 1, retain: true });
  }

  const says = (state: UpdateStateName): boolean =>
    site.daemon.output.includes(`"part":"update","state":"${state}"`);
  const serves = async (): Promise<unknown> =>
    ((await site.done("update/status", {}))["active"] as { readonly sha256: string }).sha256;
  const activeLink = (): Promise<string | undefined> =>
    readlink(join(site.directory, "state/packs/active")).catch(() => undefined);

  /** @returns kills that were tried; fewer than asked for when the update was quicker */
  async function interrupted(states: readonly UpdateStateName[]): Promise<number> {
    let killed = 0;
    for (const state of states) {
      await site.eventually(() => says(state) || says("committed"), `it is ${state}`, UPDATE_MS, 2);
      if (says("committed")) return killed;
      await sleep(random() * DELAY_MAX_MS);
      await site.kill();
      killed += 1;
      await site.start({ waitForBroker: false });
      const link = await activeLink();
      assert.equal(await serves().then((sha) => sha === sha256), link === sha256, state);
    }
    return killed;
  }

  test("always comes up with one pack, finishes the update, and goes back on request", {
    timeout: 200_000 + points * 40_000,
  }, async () => {
    let killed = 0;
    for (let attempt = 1; killed < points; attempt += 1) {
      const late = LATE[attempt % LATE.length] as UpdateStateName;
      const early = EARLY.filter(() => random() < 0.6).slice(0, points - killed - 1);
      await wish(attempt);
      killed += await interrupted([...early, late]);
      await site.eventually(() => says("committed"), "it is committed", UPDATE_MS);
      assert.equal(await serves(), sha256);
      assert.equal(await activeLink(), sha256);
      const back = await site.done("update/rollback", {});
      assert.equal(back["state"], "rolled-back");
      assert.notEqual(await serves(), sha256);
      assert.equal(await activeLink(), undefined, "the factory pack needs no link");
      await site.kill();
      await site.start({ waitForBroker: false });
      assert.notEqual(await serves(), sha256);
    }
  });
});
