/** `ostiary-release` from an empty directory to rings of devices, over a real broker; the devices are signed words. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connectAsync, type MqttClient } from "mqtt";
import { stringify } from "yaml";
import { FleetBroker } from "../../scripts/release/broker.ts";
import { COMMANDS } from "../../scripts/release/commands.ts";
import { readFleet } from "../../scripts/release/fleet.ts";
import {
  beginRollout,
  pause,
  promote,
  type Rollouts,
  rollBack,
} from "../../scripts/release/rollouts.ts";
import { epochMs } from "../../src/lib/brand.ts";
import { Envelope } from "../../src/lib/envelope.ts";
import { PackIdSchema } from "../../src/lib/id.ts";
import { KeyRing, seal } from "../../src/mqtt/envelope.ts";
import { DesiredState, judgeDesired } from "../../src/release/desired.ts";
import type { UpdateReport } from "../../src/release/report.ts";
import type { WantedPack } from "../../src/update/tuf/source.ts";
import { type CliRun, cli } from "../cli/support.ts";
import { newSigner } from "../mqtt/harness.ts";
import { type Broker, startBroker } from "../support/broker.ts";
import { withoutModels } from "../support/models.ts";
import { referencePack } from "../support/pack.ts";
import { makeNoisePack, PASSPHRASE, TestRepository } from "../support/release.ts";
import { within } from "../support/waiting.ts";

const HOUR_MS = 3_600_000;
const never = new AbortController().signal;

/** What a device would do with its retained topic, and what it says. */
class Voice {
  readonly address: string;
  readonly signer = newSigner();
  /** What its reports are about. */
  wanted: WantedPack | undefined;
  readonly #client: MqttClient;
  #seq = 0;

  constructor(address: string, client: MqttClient) {
    this.address = address;
    this.#client = client;
  }

  async say(
    state: UpdateReport["state"],
    jobId: string,
    more: Partial<UpdateReport> = {},
  ): Promise<void> {
    this.#seq += 1;
    const old = { id: "old", sha256: "b".repeat(64), releaseCounter: 1, spaceId: "old.1" };
    const candidate = { ...this.wanted, spaceId: "noise.1" };
    const report = {
      schema: 1,
      kind: "update",
      device: this.address,
      seq: this.#seq,
      at: new Date().toISOString(),
      state,
      active: state === "committed" ? candidate : old,
      candidate,
      jobId,
      ...more,
    };
    await this.publish(JSON.stringify(seal(JSON.stringify(report), this.signer)));
  }

  async publish(text: string): Promise<void> {
    await this.#client.publishAsync(`ostiary/v1/${this.address}/update/state`, text, {
      qos: 1,
      retain: true,
    });
  }
}

describe("a rollout", () => {
  let directory: string;
  let broker: Broker;
  let client: MqttClient;
  let made: TestRepository;
  let voices: readonly Voice[];
  let all: Rollouts;
  const retained = new Map<string, string>();
  let ms = Date.now();

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "ostiary-rollout-"));
    broker = await startBroker();
    client = await connectAsync(broker.url, { protocolVersion: 5 });
    client.on("message", (topic, payload) => retained.set(topic, payload.toString()));
    await client.subscribeAsync("ostiary/v1/+/+/update/desired", { qos: 1 });
    made = await TestRepository.make(directory, { now: () => ms });
    await made.add({ id: "old", releaseCounter: 1 });
    const { wanted } = await made.release({ id: "new", releaseCounter: 2 });
    voices = ["one", "two", "three", "four"].map((id) => new Voice(`lab/${id}`, client));
    for (const voice of voices) voice.wanted = wanted;
    const rings = ["canary", "some", "all", "all"];
    await writeFile(
      join(made.workspace.directory, "fleet.yaml"),
      stringify({
        schema: 1,
        site: "lab",
        broker: { url: broker.url },
        devices: voices.map(({ address, signer }, i) => ({
          id: address.slice(4),
          publicKey: signer.publicKey,
          ring: rings[i],
        })),
        rings: [
          { name: "canary", soakHours: 24 },
          { name: "some", soakHours: 0 },
          { name: "all", soakHours: 0, committedMin: 1, failedMax: 0.4 },
        ],
      }),
    );
    const fleet = await readFleet(join(made.workspace.directory, "fleet.yaml"));
    assert.ok(fleet.broker !== undefined);
    all = {
      workspace: made.workspace,
      fleet,
      broker: await FleetBroker.open(fleet.broker, never),
      means: made.means,
      silenceMs: 150,
    };
  });
  after(async () => {
    await all.broker?.[Symbol.asyncDispose]();
    await client.endAsync();
    await broker[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  /** What the broker keeps for a device, verified as the device does; undefined when nothing. */
  async function desiredOf(
    voice: Voice | undefined,
    seq?: number,
  ): Promise<DesiredState | undefined> {
    const topic = `ostiary/v1/${voice?.address}/update/desired`;
    const read = (): DesiredState | undefined => {
      const text = retained.get(topic) ?? "";
      if (text === "") return undefined;
      const envelope = Envelope.parse(JSON.parse(text));
      const director = made.workspace.settings.keys["director"]?.publicKey ?? "";
      assert.ok(new KeyRing([director]).verify(envelope));
      const verdict = judgeDesired(envelope.payload, {
        address: voice?.address ?? "",
        now: epochMs(ms),
        last: undefined,
      });
      assert.equal(verdict.kind, "wanted");
      const file = join(made.workspace.repository, "desired", `${voice?.address}.json`);
      assert.ok(existsSync(file), "also as a file");
      return DesiredState.parse(JSON.parse(envelope.payload));
    };
    if (seq === undefined) return read();
    const there = (async () => {
      for (;;) {
        const desired = read();
        if (desired?.seq === seq) return desired;
        await new Promise((resolve) => client.once("message", resolve));
      }
    })();
    return within(there, `wish ${seq} of ${voice?.address}`);
  }

  const begin = (id: string, ring: string, again = false) =>
    beginRollout(all, { packId: PackIdSchema.parse(id), ring, days: 30, again });

  test("reaches the canary alone, with a signed wish that names the very bytes", async () => {
    const { job, wished, sent } = await begin("new", "canary");
    assert.deepEqual([wished, sent], [["lab/one"], ["lab/one"]]);
    const desired = await desiredOf(voices[0], 1);
    assert.equal(desired?.jobId, job.wanted.jobId);
    assert.equal(desired?.pack.id, "new");
    assert.equal(desired?.allowRollbackTo, undefined);
    assert.equal(await desiredOf(voices[1]), undefined);
  });

  test("goes on only on what devices have signed, and only after the soak", async () => {
    const waiting = await promote(all, never);
    assert.deepEqual([waiting.verdict.kind, waiting.rings[0]?.waiting], ["wait", 1]);
    const { jobId } = waiting.job.wanted;
    await voices[0]?.publish(JSON.stringify(seal("{}", newSigner())));
    const refused = await promote(all, never);
    assert.deepEqual(refused.refused, [{ address: "lab/one", code: "bad_signature" }]);
    await voices[0]?.say("committed", "2020-01-01-00000000");
    assert.equal((await promote(all, never)).verdict.kind, "wait", "of another rollout");
    await voices[0]?.say("committed", jobId);
    const soaking = await promote(all, never);
    assert.match(soaking.verdict.why, /24 h are wanted/);
    ms += 25 * HOUR_MS;
    const next = await promote(all, never);
    assert.deepEqual([next.verdict.kind, next.wished], ["next", ["lab/two"]]);
    assert.equal((await desiredOf(voices[1], 1))?.ring, "some");
  });

  test("pauses by itself when devices fail, and takes the wish back where it has not begun", async () => {
    const { jobId } = (await promote(all, never)).job.wanted;
    await voices[1]?.say("committed", jobId);
    assert.deepEqual((await promote(all, never)).wished, ["lab/three", "lab/four"]);
    await voices[2]?.say("rolled-back", jobId, {
      error: { code: "shadow_disagrees", message: "" },
    });
    const paused = await promote(all, never);
    assert.equal(paused.verdict.kind, "abort");
    assert.match(paused.job.reason ?? "", /1 of 2 devices of ring all failed \(shadow_disagrees\)/);
    assert.deepEqual(paused.wished, ["lab/four"]);
    assert.equal(retained.get("ostiary/v1/lab/four/update/desired"), "");
    assert.ok(!existsSync(join(made.workspace.repository, "desired/lab/four.json")));
    await assert.rejects(promote(all, never), { code: "no_rollout", message: /paused/ });
  });

  test("goes back: to an older pack that is listed, with leave to go below the floor", async () => {
    const { wished } = await rollBack(all, PackIdSchema.parse("old"), 30);
    assert.deepEqual(
      wished,
      voices.map(({ address }) => address),
    );
    const desired = await desiredOf(voices[0], 2);
    assert.deepEqual(
      [desired?.pack.id, desired?.allowRollbackTo, desired?.attemptEpoch],
      ["old", 1, 1],
    );
    await assert.rejects(rollBack(all, PackIdSchema.parse("never"), 30), {
      code: "target_missing",
      message: /it has old, new/,
    });
  });

  test("paused by hand: what has not begun is told again what it was told before", async () => {
    const { job } = await begin("new", "all", true);
    assert.equal((await desiredOf(voices[2], 3))?.attemptEpoch, 1);
    await voices[2]?.say("shadow", job.wanted.jobId);
    const paused = await pause(all, "by hand", never);
    assert.deepEqual(paused.wished, ["lab/four"]);
    const desired = await desiredOf(voices[3], 4);
    assert.deepEqual([desired?.pack.id, desired?.allowRollbackTo], ["old", 1]);
    assert.equal((await desiredOf(voices[2]))?.pack.id, "new", "this one sees it through");
  });

  test("a broker that is away: told by file, and over the broker with the next command", async () => {
    const offline = { ...all, broker: undefined };
    const { wished, sent } = await beginRollout(offline, {
      packId: PackIdSchema.parse("new"),
      ring: "canary",
      days: 1,
      again: true,
    });
    assert.deepEqual([wished, sent], [["lab/one"], []]);
    const file = join(made.workspace.repository, "desired/lab/one.json");
    const { seq } = JSON.parse(Envelope.parse(JSON.parse(await readFile(file, "utf8"))).payload);
    assert.notEqual((await desiredOf(voices[0]))?.seq, seq);
    await promote(all, never);
    assert.equal((await desiredOf(voices[0], seq))?.seq, seq);
  });

  test("numbers are never used twice, also when the command died before it told anybody", async () => {
    const dead = {
      ...all,
      broker: Object.assign(Object.create(all.broker ?? null), {
        tell: () => Promise.reject(new Error("power cut")),
      }) as FleetBroker,
    };
    await assert.rejects(
      beginRollout(dead, { packId: PackIdSchema.parse("new"), ring: "some", days: 1, again: true }),
      { message: "power cut" },
    );
    const lost = JSON.parse(await readFile(made.workspace.at("state.json"), "utf8"));
    const [numbers] = Object.values<Record<string, number>>(lost.seq);
    const before = numbers?.["lab/two"] ?? 0;
    await begin("new", "some", true);
    assert.equal((await desiredOf(voices[1], before + 1))?.seq, before + 1);
  });
});

describe("the command", () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "ostiary-release-cli-"));
    await writeFile(join(directory, "passphrase"), `${PASSPHRASE}\n`);
  });
  after(() => rm(directory, { recursive: true, force: true }));

  const release = (...argv: readonly string[]): Promise<CliRun> =>
    cli(argv, {
      commands: COMMANDS,
      env: { OSTIARY_RELEASE: join(directory, "site") },
      program: "ostiary-release",
    });

  test("says what is there and what is wrong, in a line or as JSON, with an exit code", async () => {
    assert.deepEqual(await release("status"), {
      exit: 5,
      out: "",
      error: `ostiary-release: cannot read ${join(directory, "site/release.yaml")} (ENOENT): make a workspace with ostiary-release init, or name it with --dir\n`,
    });
    const passphrase = ["--passphrase-file", join(directory, "passphrase")];
    const json = await release("status", "--json");
    assert.equal(json.exit, 5);
    assert.equal(JSON.parse(json.out).error.code, "config_missing");
    assert.equal((await release("init", "--single-key", ...passphrase)).exit, 0);
    assert.match((await release("init", "--single-key", ...passphrase)).error, /exists already/);
    assert.equal((await release("publish", ...passphrase)).exit, 3);
    const signed = await release("sign", "--json", ...passphrase);
    assert.equal(JSON.parse(signed.out).drafts.length, 2);
    assert.equal((await release("publish", ...passphrase)).exit, 0);
    assert.match((await release("status")).out, /timestamp +1 /);
    const pack = await makeNoisePack(directory, { id: "noise" });
    const added = await release("add", "--pack", pack, "--json");
    assert.equal(added.exit, 3);
    assert.match(JSON.parse(added.out).error.code, /^(?!internal)/, "noise is no model");
    assert.equal((await release("publish", "--ring", "canary")).exit, 2);
    assert.match((await release("publish", "--pack", "noise", "--offline")).error, /fleet\.yaml/);
    assert.match((await release("--help")).out, /^ostiary-release COMMAND/);
  });

  test("one command from a pack to the first ring, its models tried", {
    skip: withoutModels(),
  }, async () => {
    const passphrase = ["--passphrase-file", join(directory, "passphrase")];
    const { directory: pack } = referencePack();
    const turned = join(directory, "turned");
    await cp(pack, turned, { recursive: true });
    const text = JSON.parse(await readFile(join(turned, "pack.json"), "utf8"));
    text.golden.vectors[0].embedding.reverse();
    await writeFile(join(turned, "pack.json"), JSON.stringify(text));
    const refused = await release("publish", "--from", turned, "--json", ...passphrase);
    assert.equal(JSON.parse(refused.out).error.code, "golden_mismatch");
    const device = `{ id: one, publicKey: "${newSigner().publicKey}", ring: canary }`;
    await writeFile(
      join(directory, "site/fleet.yaml"),
      `schema: 1\nsite: lab\ndevices: [${device}]\nrings: [{ name: canary }]\n`,
    );
    const published = await release("publish", "--from", pack, "--json", ...passphrase);
    assert.deepEqual(JSON.parse(published.out).wished, ["lab/one"]);
    assert.ok(existsSync(join(directory, "site/repository/desired/lab/one.json")));
    const { exit, out } = await release("status");
    assert.equal(exit, 0);
    assert.match(out, /reference .*x64 arm64.*[\s\S]*canary +1 +0 +0 +0 +1/);
  });
});
