/**
 * The store of record: one SQLite file, one writer. What it acknowledged survives the process and the
 * power; what it erased is in no file when the erase returns.
 */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { DecisionLedger } from "../decision/ledger.ts";
import type { CommandInbox } from "../gallery/inbox.ts";
import type {
  GalleryChange,
  RecordReader,
  RecordTransaction,
  StoredTemplate,
} from "../gallery/record.ts";
import { assert } from "../lib/assert.ts";
import type { EpochMs, IdentityId, SpaceId } from "../lib/brand.ts";
import type { Answer } from "../lib/envelope.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import type { UpdateJournal } from "../release/journal-port.ts";
import { type CheckReport, checkTables } from "./check.ts";
import { CommandTables } from "./command-tables.ts";
import { Connection } from "./connection.ts";
import type { DeviceKey } from "./device-key.ts";
import { EventLog, type OutboxRow } from "./event-log.ts";
import { GalleryTables } from "./gallery-tables.ts";
import { Keyring } from "./keyring.ts";
import type { StoreLimits } from "./limits.ts";
import { StoreLock } from "./lock.ts";
import { type Reembedded, Reembedding } from "./reembedding.ts";
import type { RandomBytes } from "./sealing.ts";
import { UpdateTables } from "./update-tables.ts";

export interface StoreOptions {
  readonly directory: string;
  readonly keys: DeviceKey;
  readonly limits: StoreLimits;
}

export interface StoreDeps {
  readonly log: Log;
  readonly randomBytes: RandomBytes;
}

/** The reliable feed; `mqtt/` names the same shape from its side. */
export interface Outbox {
  readonly unsent: (limit: number) => readonly OutboxRow[];
  readonly markSent: (seq: number) => void;
  readonly history: (fromSeq: number, limit: number) => readonly OutboxRow[];
  readonly bounds: () => { readonly first: number; readonly last: number } | undefined;
  readonly onAppended: (listener: () => void) => () => void;
}

/** PKCS #8 of an Ed25519 private key up to its 32-byte seed (RFC 8410 §7). */
const ED25519_PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");

interface Parts {
  readonly lock: StoreLock;
  readonly connection: Connection;
  readonly gallery: GalleryTables;
  readonly reembedding: Reembedding;
  readonly commands: CommandTables;
  readonly events: EventLog;
  readonly signingKey: KeyObject;
}

export class Store implements Disposable {
  readonly #parts: Parts;
  readonly #log: Log;
  readonly #onChange = new Set<(change: GalleryChange) => void>();
  readonly #onAppended = new Set<() => void>();
  /** Of model updates. */
  readonly updates: UpdateJournal;
  #scrubPending = false;

  private constructor(parts: Parts, log: Log) {
    this.#parts = parts;
    this.#log = log;
    this.updates = new UpdateTables(parts.connection, (effect) => this.transact(effect));
  }

  /** @throws Fault `store_locked`, `store_corrupt`, `store_newer`, `store_foreign`, `wrong_device_key`, `store_io`, `store_full` */
  static open(
    { directory, keys: deviceKey, limits }: StoreOptions,
    { log, randomBytes }: StoreDeps,
  ): Store {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const lock = StoreLock.acquire(directory);
    let connection: Connection | undefined;
    try {
      connection = Connection.open(join(directory, "store.db"));
      const opened = connection;
      const keyring = new Keyring({ connection, deviceKey, randomBytes });
      const { seed, answersKey } = connection.transaction(() => ({
        seed: keyring.secret("signing-seed", () => randomBytes(32)),
        answersKey: keyring.own("answers"),
      }));
      const signingKey = createPrivateKey({
        key: Buffer.concat([ED25519_PKCS8, seed]),
        format: "der",
        type: "pkcs8",
      });
      seed.fill(0);
      const gallery = new GalleryTables(limits.templatesMax, { connection, keyring, randomBytes });
      const commands = new CommandTables(limits, connection, answersKey);
      return new Store(
        {
          lock,
          connection: opened,
          gallery,
          reembedding: new Reembedding(opened, gallery),
          commands,
          events: new EventLog(limits, connection),
          signingKey,
        },
        log,
      );
    } catch (cause) {
      connection?.[Symbol.dispose]();
      lock[Symbol.dispose]();
      throw cause;
    }
  }

  readonly record: RecordReader = {
    identity: (id) => this.#parts.gallery.identity(id),
    listIdentities: (after, limit) => this.#parts.gallery.list(after, limit),
    templateCount: (id, spaceId) => this.#parts.gallery.templateCount(id, spaceId),
    templates: (spaceId) =>
      this.#parts.gallery.templates(spaceId, (identityId, cause) => {
        this.#log.error(
          { identityId, code: codeOf(cause) },
          "templates do not open: this identity cannot be recognised until it is enrolled again",
        );
      }),
    counts: () => this.#parts.gallery.counts(),
  };

  readonly inbox: CommandInbox = {
    answered: (kid, id) => this.#parts.commands.answered(kid, id),
    commitCommand: (stamp, effect) => {
      const { commands } = this.#parts;
      this.#scrub();
      const known = commands.answered(stamp.kid, stamp.id);
      if (known !== undefined) return { kind: "repeated", answer: known };
      if (commands.isReplay(stamp)) return { kind: "replayed" };
      const answer = this.transact((tx): Answer => {
        const said = effect(tx);
        commands.note(stamp);
        commands.store(stamp.kid, stamp.id, stamp.at, said);
        return said;
      });
      return { kind: "done", answer };
    },
    finishCommand: (kid, id, at, effect) =>
      this.transact((tx) => {
        const said = effect(tx);
        this.#parts.commands.store(kid, id, at, said);
        return said;
      }),
  };

  readonly ledger: DecisionLedger = {
    recordDecision: (identityId, decide) =>
      this.transact((tx) => {
        const identity = identityId === undefined ? undefined : tx.identity(identityId);
        const decision = decide(identity);
        if (decision.outcome === "grant") {
          assert(
            identity?.enabled === true && identity.id === decision.identityId,
            "a grant names somebody who is not enrolled and enabled",
          );
        }
        return { decision, seq: tx.appendEvent("decision", { ...decision }, decision.issuedAt) };
      }),
  };

  readonly outbox: Outbox = {
    unsent: (limit) => this.#parts.events.unsent(limit),
    markSent: (seq) => {
      if (this.#parts.events.acknowledge(seq)) this.transact(() => undefined);
    },
    history: (fromSeq, limit) => this.#parts.events.history(fromSeq, limit),
    bounds: () => this.#parts.events.bounds(),
    onAppended: (listener) => {
      this.#onAppended.add(listener);
      return () => this.#onAppended.delete(listener);
    },
  };

  /** What {@link Reembedding} reads. */
  get reembedding(): Pick<
    Reembedding,
    "cursor" | "counts" | "page" | "pending" | "behind" | "short" | "missing"
  > {
    return this.#parts.reembedding;
  }

  /** Templates of another space, with the cursor, in one durable transaction; see {@link Reembedding.commit}. */
  addReembedded(
    spaceId: SpaceId,
    entries: readonly Reembedded[],
    cursor: IdentityId | undefined,
    at: EpochMs,
  ): readonly StoredTemplate[] {
    return this.#transact((_, changes) => {
      const templates = this.#parts.reembedding.commit(spaceId, entries, cursor, at);
      if (templates.length > 0) changes.push({ kind: "templates-added", templates });
      return templates;
    });
  }

  /** Removes the templates of all other spaces: they are in no file when it returns. Source crops stay. */
  retainSpaces(spaceIds: readonly SpaceId[]): void {
    this.#transact(() => {
      if (this.#parts.reembedding.retain(spaceIds)) this.#scrubPending = true;
    });
  }

  /** Changes of the gallery, after their commit and before the answer. @returns a function that stops it */
  readonly onGalleryChange = (listener: (change: GalleryChange) => void): (() => void) => {
    this.#onChange.add(listener);
    return () => this.#onChange.delete(listener);
  };

  /**
   * One durable transaction outside a command. Listeners hear of its changes before this returns, and
   * erased bytes are in no file when it does.
   */
  transact<T>(effect: (tx: RecordTransaction) => T): T {
    return this.#transact((tx) => effect(tx));
  }

  #transact<T>(effect: (tx: RecordTransaction, changes: GalleryChange[]) => T): T {
    const { connection, commands, events } = this.#parts;
    const changes: GalleryChange[] = [];
    const undo = [commands.mark(), events.mark()];
    let appended = false;
    let result: T;
    try {
      result = connection.transaction(() => {
        events.flush();
        return effect(
          this.#transactionOf(changes, () => (appended = true)),
          changes,
        );
      });
    } catch (cause) {
      for (const take of undo) take();
      throw cause;
    }
    events.settled();
    this.#deliver(changes, appended);
    this.#scrub();
    return result;
  }

  /** Commits a row, as the watchdog's proof that the disk takes writes. @throws Fault */
  probe(at: EpochMs): void {
    this.#scrub();
    this.transact(() => {
      this.#parts.connection.run(
        "INSERT INTO meta (name, value) VALUES ('probe', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        at,
      );
    });
  }

  /** Signs decisions and events. Made when the store is made, and sealed in it. */
  deviceSigningKey(): KeyObject {
    return this.#parts.signingKey;
  }

  /** Reads everything and says what is wrong. Blocks: for the CLI and for the hours nobody comes. */
  check(): CheckReport {
    return checkTables(this.#parts);
  }

  [Symbol.dispose](): void {
    try {
      this.transact(() => undefined);
    } catch (cause) {
      this.#log.warn(
        { code: codeOf(cause) },
        "the store closes without its last acknowledgements: some events may be sent twice",
      );
    }
    this.#parts.connection[Symbol.dispose]();
    this.#parts.lock[Symbol.dispose]();
  }

  #transactionOf(changes: GalleryChange[], onAppend: () => void): RecordTransaction {
    const { gallery, commands, events } = this.#parts;
    const changed = <I extends ReturnType<RecordTransaction["setEnabled"]>>(identity: I): I => {
      if (identity !== undefined) changes.push({ kind: "identity-changed", identity });
      return identity;
    };
    return {
      identity: (id) => gallery.identity(id),
      putIdentity: (fields, at) => changed(gallery.put(fields, at)),
      setEnabled: (id, enabled, at) => changed(gallery.setEnabled(id, enabled, at)),
      addTemplates: (id, added, at) => {
        const templates = gallery.addTemplates(id, added, at);
        if (templates !== undefined && templates.length > 0)
          changes.push({ kind: "templates-added", templates });
        return templates;
      },
      eraseIdentity: (id: IdentityId) => {
        if (!gallery.erase(id)) return false;
        commands.redact(id);
        changes.push({ kind: "identity-erased", identityId: id });
        this.#scrubPending = true;
        return true;
      },
      appendEvent: (type, body, at) => {
        onAppend();
        return events.append(type, body, at);
      },
    };
  }

  #deliver(changes: readonly GalleryChange[], appended: boolean): void {
    for (const change of changes)
      for (const listener of this.#onChange) this.#tell(() => listener(change));
    if (appended) for (const listener of this.#onAppended) this.#tell(listener);
  }

  /** It is committed: one listener's mistake must not hide it from the others, nor from who asked. */
  #tell(listener: () => void): void {
    try {
      listener();
    } catch (cause) {
      this.#log.error(
        { code: codeOf(cause), error: messageOf(cause) },
        "a listener of the store failed",
      );
    }
  }

  /** After an erase, and again before the next command when the disk failed in between. */
  #scrub(): void {
    if (!this.#scrubPending) return;
    this.#parts.connection.checkpoint();
    this.#scrubPending = false;
  }
}
