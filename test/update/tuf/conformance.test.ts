/**
 * What the TUF specification asks of a client (v1.0.34 §5), on repositories made for each case: the
 * behaviour that theupdateframework/tuf-conformance tests, as far as a repository without delegations has it.
 */
import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import {
  type AnyMetadata,
  addSignature,
  bytesOf,
  newRoot,
  newSnapshot,
  newTargets,
  newTimestamp,
  type RoleKeys,
  type RoleName,
} from "../../../scripts/release/roles.ts";
import { epochMs } from "../../../src/lib/brand.ts";
import { PackIdSchema } from "../../../src/lib/id.ts";
import { rawPublicKeyOf } from "../../../src/mqtt/envelope.ts";
import { createClock } from "../../../src/system/clock.ts";
import { runCheck } from "../../../src/update/tuf/check.ts";
import { RepositoryOptions } from "../../../src/update/tuf/options.ts";
import type { Checked, Floors } from "../../../src/update/tuf/source.ts";
import { never } from "./rig.ts";

const DAY_MS = 86_400_000;
const ONLINE = 9;

/** Ten keys, by number. */
const KEYS: readonly { readonly privateKey: KeyObject; readonly raw: string }[] = Array.from(
  { length: 10 },
  () => {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    return { privateKey, raw: Buffer.from(rawPublicKeyOf(publicKey)).toString("base64") };
  },
);

interface Signing {
  readonly keys: readonly number[];
  readonly threshold: number;
  readonly sigs: readonly number[];
}

const ONE: Signing = { keys: [ONLINE], threshold: 1, sigs: [ONLINE] };

function signed(metadata: AnyMetadata, sigs: readonly number[]): Buffer {
  for (const index of sigs) {
    const key = KEYS[index];
    assert.ok(key !== undefined);
    addSignature(metadata, key.raw, (bytes) => sign(null, bytes, key.privateKey));
  }
  return bytesOf(metadata);
}

const roleKeys = ({ keys, threshold }: Signing): RoleKeys => ({
  threshold,
  publicKeys: keys.map((index) => KEYS[index]?.raw ?? ""),
});

/** A repository whose every version, date and signature can be set. */
class Simulator {
  readonly directory: string;
  versions = { root: 0, timestamp: 1, snapshot: 1, targets: 1 };
  signing: Record<RoleName, Signing> = { root: ONE, timestamp: ONE, snapshot: ONE, targets: ONE };
  /** Days from now. */
  expires: Record<RoleName, number> = { root: 9, timestamp: 9, snapshot: 9, targets: 9 };
  /** Changes the root before it is signed. */
  touchRoot: (root: AnyMetadata) => void = () => {};
  /** Of the last refresh. */
  issuedAt: number | undefined;
  #floors: Floors | undefined;

  constructor(directory: string) {
    this.directory = directory;
  }

  async root(sigs = this.signing.root.sigs, name?: string): Promise<void> {
    this.versions.root += 1;
    const { root, timestamp, snapshot, targets } = this.signing;
    const made = newRoot(this.#life("root"), {
      root: roleKeys(root),
      timestamp: roleKeys(timestamp),
      snapshot: roleKeys(snapshot),
      targets: roleKeys(targets),
    });
    this.touchRoot(made);
    await this.put(name ?? `${this.versions.root}.root.json`, signed(made, sigs));
  }

  async rest(issuedMs = Date.now()): Promise<void> {
    const { timestamp, snapshot, targets } = this.signing;
    const list = signed(newTargets(this.#life("targets"), {}), targets.sigs);
    await this.put(`${this.versions.targets}.targets.json`, list);
    const shot = signed(
      newSnapshot(this.#life("snapshot"), this.versions.targets, list),
      snapshot.sigs,
    );
    await this.put(`${this.versions.snapshot}.snapshot.json`, shot);
    const time = newTimestamp(this.#life("timestamp"), issuedMs, this.versions.snapshot, shot);
    await this.put("timestamp.json", signed(time, timestamp.sigs));
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await mkdir(join(this.directory, "metadata"), { recursive: true });
    await writeFile(join(this.directory, "metadata", name), bytes);
  }

  /** `good` when all of the metadata is trusted, else the code of the refusal. */
  async refresh(): Promise<string> {
    const { outcome, floors, issuedAt }: Checked = await runCheck(
      {
        options: RepositoryOptions.parse({ url: `${pathToFileURL(this.directory).href}/` }),
        pinnedRoot: join(this.directory, "metadata/1.root.json"),
        stateDirectory: join(this.directory, "device"),
        runtime: { hardware: "x64", version: "0.1.0" },
        wanted: { id: PackIdSchema.parse("none"), sha256: "0".repeat(64), releaseCounter: 0 },
        now: epochMs(Date.now()),
        ...(this.#floors === undefined ? {} : { floors: this.#floors }),
      },
      createClock(),
      never,
    );
    this.#floors = floors ?? this.#floors;
    this.issuedAt = issuedAt;
    assert.ok(outcome.kind === "refused");
    return outcome.fault.code === "target_missing" ? "good" : outcome.fault.code;
  }

  /** Versions that the device has verified. */
  get seen(): string {
    const { root, timestamp, snapshot, targets } = this.#floors ?? {};
    return [root, timestamp, snapshot, targets].join(" ");
  }

  /** The role's metadata that the device keeps. */
  async kept(role: RoleName): Promise<Buffer> {
    const text = await readFile(join(this.directory, "device/trusted.json"), "utf8");
    return Buffer.from(JSON.parse(text).files[role], "base64");
  }

  #life(role: RoleName) {
    return { version: this.versions[role], expiresMs: Date.now() + this.expires[role] * DAY_MS };
  }
}

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "ostiary-conformance-"));
});
after(() => rm(scratch, { recursive: true, force: true }));
const simulator = async (): Promise<Simulator> =>
  new Simulator(await mkdtemp(join(scratch, "case-")));
async function published(): Promise<Simulator> {
  const made = await simulator();
  await made.root();
  await made.rest();
  assert.equal(await made.refresh(), "good");
  return made;
}

describe("roots that follow each other", () => {
  const five = [0, 1, 2, 3, 4];
  const root = (keys: readonly number[], threshold: number, sigs: readonly number[]): Signing => ({
    keys,
    threshold,
    sigs,
  });
  const good: Readonly<Record<string, readonly Signing[]>> = {
    "one key for another": [root([1], 1, [1]), root([2], 1, [2, 1]), root([2], 1, [2])],
    "with signatures that nobody asked for": [root([1], 1, [3, 1, 4]), root([2], 1, [3, 2, 1, 4])],
    "three of five, always others": [
      root(five, 3, [0, 2, 4]),
      root(five, 3, [0, 4, 1]),
      root(five, 3, [0, 1, 3]),
    ],
    "one of five for another": [root(five, 3, [0, 2, 4]), root([0, 1, 3, 4, 5], 3, [0, 4, 1])],
    "all five for others": [
      root(five, 3, [0, 2, 4]),
      root([5, 6, 7, 8], 3, [0, 2, 4, 5, 6, 7]),
      root([5, 6, 7, 8], 3, [5, 6, 7]),
    ],
    "a higher threshold": [root([1, 2, 3], 1, [1]), root([1, 2, 3], 2, [1, 2])],
    "a lower threshold": [
      root([1, 2, 3], 2, [1, 2]),
      root([1, 2, 3], 1, [1, 2]),
      root([1, 2, 3], 1, [1]),
    ],
  };
  const bad: Readonly<Record<string, readonly Signing[]>> = {
    "not signed by the old key": [root([1], 1, [1]), root([2], 1, [2, 3, 4])],
    "not signed by the new key": [root([1], 1, [1]), root([2], 1, [1, 3, 4])],
    "two of three new ones": [root(five, 3, [0, 2, 4]), root([0, 1, 3, 4, 5], 3, [0, 2, 4])],
    "two of three old ones": [root(five, 3, [0, 2, 4]), root([0, 1, 3, 4, 5], 3, [0, 4, 5])],
    "the raised threshold not reached": [root([1, 2, 3], 1, [1]), root([1, 2, 3], 2, [2])],
    "the old threshold not reached": [root([1, 2, 3], 2, [1, 2]), root([1, 2, 3], 1, [1])],
  };
  for (const [name, versions] of [...Object.entries(good), ...Object.entries(bad)]) {
    const isGood = name in good;
    test(`${isGood ? "followed" : "refused"}: ${name}`, async () => {
      const made = await simulator();
      for (const version of versions) {
        made.signing.root = version;
        await made.root();
      }
      await made.rest();
      assert.equal(await made.refresh(), isGood ? "good" : "tuf_signature");
      const last = versions.length - (isGood ? 0 : 1);
      const expected = await readFile(join(made.directory, `metadata/${last}.root.json`));
      assert.ok((await made.kept("root")).equals(expected), `root ${last} is kept, byte by byte`);
    });
  }

  test("refused: a number left out, a number twice, another type, a later specification", async () => {
    for (const [change, code] of [
      [{ version: 3 }, "tuf_rollback"],
      [{ version: 1 }, "tuf_rollback"],
      [{ specVersion: "2.0.0" }, "tuf_malformed"],
    ] as const) {
      const made = await published();
      made.touchRoot = (root) => void Object.assign(root.signed, change);
      await made.root(undefined, "2.root.json");
      assert.equal(await made.refresh(), code, JSON.stringify(change));
    }
    const made = await published();
    await made.put("2.root.json", await readFile(join(made.directory, "metadata/timestamp.json")));
    assert.equal(await made.refresh(), "tuf_malformed");
  });

  test("followed: fields that this version does not know, and an expired one on the way", async () => {
    const made = await published();
    made.touchRoot = (root) =>
      void Object.assign(root.signed.unrecognizedFields, { "x-new": { a: 1 } });
    made.expires.root = -1;
    await made.root();
    made.expires.root = 9;
    await made.root();
    assert.equal(await made.refresh(), "good");
    assert.equal(made.seen, "3 1 1 1");
  });
});

describe("roles below the root", () => {
  const cases: Readonly<Record<string, Signing & { readonly isGood: boolean }>> = {
    "another key": { keys: [2], threshold: 1, sigs: [2], isGood: true },
    "signatures that nobody asked for": { keys: [1], threshold: 1, sigs: [3, 1, 4], isGood: true },
    "any three of five": { keys: [0, 1, 2, 3, 4], threshold: 3, sigs: [4, 0, 2], isGood: true },
    "not the new key": { keys: [2], threshold: 1, sigs: [1, 3, 4], isGood: false },
    "two of three": { keys: [0, 1, 3, 4, 5], threshold: 3, sigs: [0, 4, 2], isGood: false },
  };
  for (const [name, { isGood, ...signing }] of Object.entries(cases)) {
    test(`${isGood ? "trusted" : "refused"}: ${name}`, async () => {
      for (const role of ["timestamp", "snapshot", "targets"] as const) {
        const made = await published();
        made.signing[role] = signing;
        for (const each of ["timestamp", "snapshot", "targets"] as const) made.versions[each] += 1;
        await made.root();
        await made.rest();
        assert.equal(await made.refresh(), isGood ? "good" : "tuf_signature", role);
      }
    });
  }

  test("expired: whichever it is, nothing below it is taken; a root is kept all the same", async () => {
    for (const [role, seen] of [
      ["root", "2 1 1 1"],
      ["timestamp", "2 1 1 1"],
      ["snapshot", "2 2 1 1"],
      ["targets", "2 2 2 1"],
    ] as const) {
      const made = await published();
      made.expires[role] = -1;
      for (const each of ["timestamp", "snapshot", "targets"] as const) made.versions[each] += 1;
      await made.root();
      await made.rest();
      assert.equal(await made.refresh(), "tuf_expired", role);
      assert.equal(made.seen, seen, role);
      assert.equal(JSON.parse((await made.kept("root")).toString()).signed.version, 2);
    }
  });

  test("what expired here still protects against older ones, and lets newer ones in", async () => {
    const made = await simulator();
    await made.root();
    made.expires.timestamp = 1 / 86_400;
    made.versions.timestamp = 5;
    await made.rest();
    assert.equal(await made.refresh(), "good");
    const { expires } = JSON.parse((await made.kept("timestamp")).toString()).signed;
    while (Date.now() < Date.parse(expires))
      await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(await made.refresh(), "tuf_expired");
    made.expires.timestamp = 9;
    made.versions.timestamp = 4;
    await made.rest();
    assert.equal(await made.refresh(), "tuf_rollback");
    made.versions.timestamp = 6;
    await made.rest();
    assert.equal(await made.refresh(), "good");
  });

  test("rolled back: timestamp, snapshot, targets, each alone", async () => {
    for (const role of ["timestamp", "snapshot", "targets"] as const) {
      const made = await simulator();
      made.versions = { root: 0, timestamp: 5, snapshot: 5, targets: 5 };
      await made.root();
      await made.rest();
      assert.equal(await made.refresh(), "good");
      for (const each of ["timestamp", "snapshot", "targets"] as const)
        made.versions[each] += each === role ? -1 : 1;
      await made.rest();
      assert.equal(await made.refresh(), "tuf_rollback", role);
    }
  });

  test("rolled back with a new key is recovery: of timestamp, snapshot, and what it names", async () => {
    for (const role of ["timestamp", "snapshot"] as const) {
      const made = await simulator();
      made.versions = { root: 0, timestamp: 900, snapshot: 900, targets: 900 };
      await made.root();
      await made.rest();
      assert.equal(await made.refresh(), "good");
      made.signing[role] = { keys: [3], threshold: 1, sigs: [3] };
      // A timestamp that stays names the snapshot that was: TUF §5.3.11 has both keys changed for it.
      if (role === "snapshot") made.signing.timestamp = { keys: [4], threshold: 1, sigs: [4] };
      const below = role === "snapshot" ? 1 : 900;
      made.versions = { root: 1, timestamp: 1, snapshot: below, targets: below };
      await made.root();
      await made.rest();
      assert.equal(await made.refresh(), "good", role);
      assert.equal(made.seen, `2 1 ${below} ${below}`);
    }
  });

  test("an instant that a stolen online key makes up does not carry a device past other dates", async () => {
    const made = await published();
    assert.ok(Math.abs(Number(made.issuedAt) - Date.now()) < DAY_MS);
    made.versions.timestamp += 1;
    made.expires.timestamp = 9000;
    await made.rest(Date.now() + 8000 * DAY_MS);
    assert.equal(await made.refresh(), "good");
    assert.equal(made.issuedAt, undefined);
  });

  test("the same number with another content is not taken", async () => {
    const made = await published();
    const before = await made.kept("timestamp");
    made.versions.snapshot = 2;
    await made.rest();
    assert.equal(await made.refresh(), "good");
    assert.ok((await made.kept("timestamp")).equals(before));
    assert.equal(made.seen, "1 1 1 1");
  });
});
