import assert from "node:assert/strict";
import { createPublicKey, sign, verify } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { Decision } from "../../src/decision/decision.ts";
import type { GalleryChange } from "../../src/gallery/record.ts";
import type { CameraId, DoorId, IdentityId, TrackId } from "../../src/lib/brand.ts";
import { epochMs } from "../../src/lib/brand.ts";
import { idOf, now, person, StoreDirectory, seeded, space, stamp, unitVector } from "./support.ts";

const random = seeded(3);
const shot = (more: object = {}) => ({ spaceId: space, vector: unitVector(random), ...more });
const png = Buffer.concat([
  Buffer.from("89504e470d0a1a0a", "hex"),
  Buffer.from("picture of a face, many pixels of it".repeat(300)),
]);

const decisionFor = (identityId: IdentityId): Decision => ({
  id: "d1",
  doorId: "front" as DoorId,
  cameraId: "cam" as CameraId,
  trackId: "t1" as TrackId,
  issuedAt: now,
  expiresAt: epochMs(now + 5000),
  scoreBand: "high",
  frames: 3,
  outcome: "grant",
  reason: "allowed",
  identityId,
});

test("what was put is there after the store is opened again", () => {
  using directory = new StoreDirectory();
  const vector = unitVector(random);
  {
    using store = directory.open();
    store.transact((tx) => {
      tx.putIdentity(
        person("ann", {
          groups: ["staff"],
          validFrom: "2026-01-01T00:00:00Z",
          metadata: { badge: "7" },
        }),
        now,
      );
      tx.addTemplates(
        idOf("ann"),
        [{ spaceId: space, vector, sourceCrop: { png, landmarks: [{ x: 1.5, y: 2 }] } }],
        now,
      );
    });
  }
  using store = directory.open();
  const ann = store.record.identity(idOf("ann"));
  assert.deepEqual(ann, {
    id: "ann",
    displayName: "Name of ann",
    groups: ["staff"],
    validFrom: Date.UTC(2026, 0, 1),
    enabled: true,
    metadata: { badge: "7" },
    createdAt: now,
    updatedAt: now,
  });
  const [template] = [...store.record.templates(space)];
  assert.equal(template?.identityId, "ann");
  assert.deepEqual(template?.vector, vector);
  assert.deepEqual(store.record.counts(), { identities: 1, templates: 1 });
  assert.deepEqual(
    { ...store.check(), problems: [] },
    { ok: true, identities: 1, templates: 1, sourceCrops: 1, events: 0, problems: [] },
  );
});

test("a second process, or the same one, does not get in", () => {
  using directory = new StoreDirectory();
  using _store = directory.open();
  assert.throws(() => directory.open(), { code: "store_locked" });
});

test("another device key opens nothing", () => {
  using directory = new StoreDirectory();
  directory.open()[Symbol.dispose]();
  directory.keyBytes[0] = 99;
  assert.throws(() => directory.open(), { code: "wrong_device_key" });
});

test("no name, picture, vector or answer lies in a file in clear", () => {
  using directory = new StoreDirectory();
  using store = directory.open();
  const vector = unitVector(random);
  store.inbox.commitCommand(stamp(1), (tx) => {
    tx.putIdentity(person("ann", { metadata: { phone: "555-0199-5550" } }), now);
    tx.addTemplates(
      idOf("ann"),
      [{ spaceId: space, vector, sourceCrop: { png, landmarks: [] } }],
      now,
    );
    return { ok: true, data: { displayName: "Name of ann", secret: "answer-in-clear" } };
  });
  const floats = Buffer.from(vector.buffer);
  for (const clear of [
    Buffer.from("Name of ann"),
    Buffer.from("555-0199-5550"),
    png.subarray(0, 8),
    Buffer.from("picture of a face"),
    floats.subarray(0, 12),
    Buffer.from("answer-in-clear"),
  ]) {
    assert.deepEqual(directory.filesWith(clear), [], clear.toString("latin1", 0, 12));
  }
  assert.notDeepEqual(directory.filesWith(Buffer.from("ann")), [], "the search itself works");
});

test("after an erase its key and its ciphertexts are in no file, while the store is still open", () => {
  using directory = new StoreDirectory();
  {
    using store = directory.open();
    store.transact((tx) => {
      for (let index = 0; index < 200; index += 1) {
        tx.putIdentity(person(`p${index}`), now);
        tx.addTemplates(
          idOf(`p${index}`),
          [shot(index % 10 === 0 ? { sourceCrop: { png, landmarks: [] } } : {})],
          now,
        );
      }
    });
  }
  const sealed = new Map<string, Uint8Array[]>();
  {
    using database = new DatabaseSync(join(directory.path, "store.db"), { readOnly: true });
    const sql =
      "SELECT i.id, i.profile, k.wrapped, t.sealed FROM identity i JOIN key_slot k USING (slot) JOIN template_set t ON t.identity_id = i.id";
    for (const row of database.prepare(sql).all()) {
      sealed.set(String(row["id"]), [
        row["wrapped"],
        row["profile"],
        row["sealed"],
      ] as Uint8Array[]);
    }
    for (const row of database.prepare("SELECT identity_id, sealed FROM source_crop").all()) {
      sealed
        .get(String(row["identity_id"]))
        ?.push((row["sealed"] as Uint8Array).subarray(5000, 5100));
    }
  }
  using store = directory.open();
  for (const bytes of sealed.get("p50") ?? [])
    assert.deepEqual(directory.filesWith(bytes), ["store.db"]);
  for (const id of ["p50", "p0", "p199", "p77"]) {
    assert.equal(
      store.transact((tx) => tx.eraseIdentity(idOf(id), now)),
      true,
    );
    for (const bytes of sealed.get(id) ?? []) assert.deepEqual(directory.filesWith(bytes), [], id);
    assert.equal(store.record.identity(idOf(id)), undefined);
  }
  assert.equal(
    existsSync(join(directory.path, "store.db-wal"))
      ? statSync(join(directory.path, "store.db-wal")).size
      : 0,
    0,
  );
  assert.equal(
    store.transact((tx) => tx.eraseIdentity(idOf("p50"), now)),
    false,
  );
  assert.deepEqual(store.check().problems, []);
});

test("a row that was moved or a right that was edited does not open", () => {
  using directory = new StoreDirectory();
  {
    using store = directory.open();
    store.transact((tx) => {
      for (const id of ["ann", "bob", "cat"]) {
        tx.putIdentity(person(id, { enabled: id !== "cat" }), now);
        tx.addTemplates(idOf(id), [shot()], now);
      }
    });
  }
  {
    using database = new DatabaseSync(join(directory.path, "store.db"));
    database.exec("UPDATE identity SET enabled = 1 WHERE id = 'cat'");
    database.exec(
      "UPDATE template_set SET sealed = (SELECT sealed FROM template_set WHERE identity_id = 'ann') WHERE identity_id = 'bob'",
    );
  }
  using store = directory.open();
  assert.throws(() => store.record.identity(idOf("cat")), { code: "seal_broken" });
  assert.deepEqual(
    [...store.record.templates(space)].map((template) => template.identityId),
    ["ann", "cat"],
  );
  assert.ok(
    directory.log.entries.some(
      (entry) => entry.level === "error" && entry.fields["identityId"] === "bob",
    ),
  );
  const report = store.check();
  assert.deepEqual(
    report.problems.map((problem) => [problem.code, problem.where]),
    [
      ["does_not_open", "identity bob"],
      ["does_not_open", "identity cat"],
    ],
  );
  assert.equal(
    store.transact((tx) => tx.eraseIdentity(idOf("cat"), now)),
    true,
    "what does not open can still be erased",
  );
});

test("changes arrive after the commit and before the answer; a thrown effect leaves and tells nothing", () => {
  using directory = new StoreDirectory();
  using store = directory.open();
  const told: GalleryChange["kind"][] = [];
  store.onGalleryChange((change) => {
    told.push(change.kind);
    if (change.kind === "identity-changed") assert.ok(store.record.identity(change.identity.id));
    throw new Error("a listener's mistake");
  });
  const outcome = store.inbox.commitCommand(stamp(1), (tx) => {
    tx.putIdentity(person("ann"), now);
    tx.addTemplates(idOf("ann"), [shot()], now);
    assert.deepEqual(told, []);
    return { ok: true };
  });
  assert.deepEqual(told, ["identity-changed", "templates-added"]);
  assert.equal(outcome.kind, "done");
  assert.throws(() =>
    store.inbox.commitCommand(stamp(2), (tx) => {
      tx.eraseIdentity(idOf("ann"), now);
      tx.appendEvent("x", {}, now);
      throw new Error("half way");
    }),
  );
  assert.ok(store.record.identity(idOf("ann")));
  assert.equal(
    store.inbox.commitCommand(stamp(2), () => ({ ok: true })).kind,
    "done",
    "the number was not used up",
  );
  assert.equal(told.length, 2);
  assert.equal(store.outbox.bounds(), undefined);
});

test("a grant needs an enrolled and enabled identity at the moment it is written", () => {
  using directory = new StoreDirectory();
  using store = directory.open();
  store.transact((tx) => tx.putIdentity(person("ann"), now));
  const { seq } = store.ledger.recordDecision(idOf("ann"), () => decisionFor(idOf("ann")));
  assert.equal(seq, 1);
  assert.equal(JSON.parse(store.outbox.unsent(5)[0]?.body ?? "{}").identityId, "ann");
  store.transact((tx) => tx.setEnabled(idOf("ann"), false, now));
  assert.throws(
    () => store.ledger.recordDecision(idOf("ann"), () => decisionFor(idOf("ann"))),
    /not enrolled and enabled/,
  );
  assert.throws(() => store.ledger.recordDecision(undefined, () => decisionFor(idOf("ann"))));
  assert.equal(store.outbox.bounds()?.last, 1);
});

test("the cap on templates, vectors that are no unit vectors, and mixed sizes are refused", () => {
  using directory = new StoreDirectory();
  using store = directory.open({ templatesMax: 2 });
  const add = (vectors: readonly Float32Array[]) =>
    store.transact((tx) => {
      tx.putIdentity(person("ann"), now);
      return tx.addTemplates(
        idOf("ann"),
        vectors.map((vector) => ({ spaceId: space, vector })),
        now,
      );
    });
  assert.throws(() => add([new Float32Array(16)]), { code: "invalid_template" });
  assert.throws(
    () => add([unitVector(random).map((value, index) => (index === 3 ? Number.NaN : value))]),
    { code: "invalid_template" },
  );
  assert.throws(() => add([unitVector(random), unitVector(random, 8)]), {
    code: "invalid_template",
  });
  add([unitVector(random), unitVector(random)]);
  assert.throws(() => add([unitVector(random)]), { code: "template_limit" });
  assert.equal(store.record.templateCount(idOf("ann"), space), 2);
  assert.equal(
    store.transact((tx) => tx.addTemplates(idOf("nobody"), [shot()], now)),
    undefined,
  );
});

test("identities are listed in order, a page at a time", () => {
  using directory = new StoreDirectory();
  using store = directory.open();
  store.transact((tx) => ["c", "a", "b"].forEach((id) => void tx.putIdentity(person(id), now)));
  const first = store.record.listIdentities(undefined, 2).map((identity) => identity.id);
  assert.deepEqual(first, ["a", "b"]);
  assert.deepEqual(
    store.record.listIdentities(first[1], 2).map((identity) => identity.id),
    ["c"],
  );
});

test("the device's signing key is the same after a restart", () => {
  using directory = new StoreDirectory();
  const signature = (() => {
    using store = directory.open();
    store.probe(now);
    return sign(null, Buffer.from("text"), store.deviceSigningKey());
  })();
  using store = directory.open();
  assert.ok(
    verify(null, Buffer.from("text"), createPublicKey(store.deviceSigningKey()), signature),
  );
});
