/**
 * The packs of this device on disk:
 *
 *     packs/<sha256 of pack.json>/   a pack, read-only
 *     packs/.tmp-<sha256>/           one that is being fetched
 *     packs/.gone-<sha256>/          one that is being removed
 *     packs/active, packs/previous   symbolic links to the packs that the journal names
 *
 * The factory pack lies elsewhere and is never touched: no link means that it is meant. A directory
 * appears by a rename of what is whole and synced, the order of RAUC's artifact repositories.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { chmod, copyFile, link, mkdir, readdir, rename, rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import { Pack } from "../embedding/pack.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import type { PackOnDisk } from "../release/ports.ts";
import { Sha256 } from "../release/repository.ts";
import type { PackName } from "../release/state.ts";
import { pointLink, sha256OfFile, sha256OfFileNow, syncPath, writeSynced } from "./files.ts";

const MANIFEST = "pack.json";
const MANIFEST_MAX_BYTES = 4 * 1024 * 1024;
const FETCHING = ".tmp-";
const GONE = ".gone-";

export interface PacksOptions {
  /** `packs/` of the state directory. */
  readonly directory: string;
  /** Of the pack that came with this version, or that the configuration names. */
  readonly factory: string;
}

/** A file of a pack that is not here yet. */
export interface MissingBlob {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Where it belongs. */
  readonly into: string;
}

export class Packs {
  readonly #options: PacksOptions;
  readonly factory: PackOnDisk;

  private constructor(options: PacksOptions, factory: PackOnDisk) {
    this.#options = options;
    this.factory = factory;
  }

  /** @throws Fault `pack_missing`, `pack_invalid`: there is no factory pack */
  static async open(options: PacksOptions): Promise<Packs> {
    const { factory: directory } = options;
    const bytes = manifestNow(directory);
    if (bytes === undefined)
      throw new Fault("pack_missing", `no pack at ${directory}: install this version again`);
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    return new Packs(options, { directory, pack: packOf(bytes), sha256: sha256Of(bytes) });
  }

  /**
   * A pack, when every byte of it is as it was released. Reads all of it at once: for a start.
   *
   * @param name absent: the factory pack, whose files are left to vision to verify
   */
  read(name: Pick<PackName, "sha256"> | undefined): PackOnDisk | undefined {
    if (name === undefined || name.sha256 === this.factory.sha256) return this.factory;
    const directory = this.#at(name.sha256);
    const bytes = manifestNow(directory);
    if (bytes === undefined || sha256Of(bytes) !== name.sha256) return undefined;
    const pack = packOf(bytes);
    const isWhole = pack.files.every(
      (file) => sha256OfFileNow(join(directory, file.name)) === file.sha256,
    );
    return isWhole ? { directory, pack, sha256: name.sha256 } : undefined;
  }

  /** {@link read} without holding up the event loop: while doors are served. */
  async load(name: PackName | undefined): Promise<PackOnDisk | undefined> {
    if (name === undefined || name.sha256 === this.factory.sha256) return this.factory;
    if (!(await this.isStaged(name.sha256))) return undefined;
    const directory = this.#at(name.sha256);
    const bytes = manifestNow(directory);
    return bytes === undefined
      ? undefined
      : { directory, pack: packOf(bytes), sha256: name.sha256 };
  }

  /** Begins to fetch a pack, or goes on: its manifest is kept, so that the rest can follow without it. */
  async begin(manifest: Uint8Array): Promise<void> {
    const sha256 = sha256Of(manifest);
    const directory = this.#fetching(sha256);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    if ((await sha256OfFile(join(directory, MANIFEST))) === sha256) return;
    await writeSynced(join(directory, MANIFEST), manifest);
    await syncPath(directory);
    await syncPath(this.#options.directory);
  }

  /** What {@link begin} kept; undefined when it is not there or not whole. */
  fetching(sha256: string): Pack | undefined {
    const bytes = manifestNow(this.#fetching(sha256));
    return bytes === undefined || sha256Of(bytes) !== sha256 ? undefined : packOf(bytes);
  }

  /** Whether that pack is installed, every byte of it. */
  async isStaged(sha256: string): Promise<boolean> {
    const directory = this.#at(sha256);
    const bytes = manifestNow(directory);
    if (bytes === undefined || sha256Of(bytes) !== sha256) return false;
    for (const file of packOf(bytes).files)
      if ((await sha256OfFile(join(directory, file.name))) !== file.sha256) return false;
    return true;
  }

  /**
   * Takes over what other packs here have, by hard link or copy, and says what must be fetched. What is
   * there already and right is left alone; what is wrong is thrown away.
   */
  async missing(sha256: string, pack: Pack): Promise<readonly MissingBlob[]> {
    const missing: MissingBlob[] = [];
    for (const file of pack.files) {
      const into = join(this.#fetching(sha256), file.name);
      if ((await sha256OfFile(into)) === file.sha256) continue;
      await rm(into, { force: true });
      if (!(await this.#takeOver(file.sha256, into)))
        missing.push({ name: file.name, sha256: file.sha256, bytes: file.bytes, into });
    }
    return missing;
  }

  /**
   * Makes a fetched pack one that is installed. Done once more after a crash it changes nothing.
   *
   * @throws Fault `pack_damaged` when a file is not the one that the manifest names
   */
  async stage(sha256: string): Promise<void> {
    if (await this.isStaged(sha256)) return;
    const directory = this.#fetching(sha256);
    const pack = this.fetching(sha256);
    if (pack === undefined) throw damaged(sha256, "its manifest is gone");
    const names = [...pack.files.map(({ name }) => name), MANIFEST];
    for (const name of await readdir(directory))
      if (!names.includes(name)) await rm(join(directory, name), { recursive: true, force: true });
    for (const { name, sha256: expected } of pack.files)
      if ((await sha256OfFile(join(directory, name))) !== expected)
        throw damaged(sha256, `${name} is not the file that it names`);
    for (const name of names) {
      await chmod(join(directory, name), 0o444);
      await syncPath(join(directory, name));
    }
    await chmod(directory, 0o755);
    await syncPath(directory);
    // What rots under that name makes room.
    await this.#discard(sha256);
    await rename(directory, this.#at(sha256));
    await syncPath(this.#options.directory);
  }

  /** Has the links say what the journal says. Absent: the factory pack. */
  async point(active: PackName | undefined, previous: PackName | undefined): Promise<void> {
    const { directory } = this.#options;
    // The way back first: whoever finds the new one active finds the old one too.
    await pointLink(directory, "previous", this.#targetOf(previous));
    await pointLink(directory, "active", this.#targetOf(active));
  }

  /** Removes every pack, whole or not, that is not named. */
  async prune(kept: readonly (PackName | undefined)[]): Promise<void> {
    const names = new Set(kept.flatMap((pack) => (pack === undefined ? [] : [pack.sha256])));
    for (const entry of await readdir(this.#options.directory)) {
      const prefix = [FETCHING, GONE].find((each) => entry.startsWith(each)) ?? "";
      const sha256 = entry.slice(prefix.length);
      if (!Sha256.safeParse(sha256).success) continue;
      if (prefix === GONE || (prefix === FETCHING && !names.has(sha256)))
        await rm(join(this.#options.directory, entry), { recursive: true, force: true });
      else if (!names.has(sha256)) await this.#discard(sha256);
    }
  }

  /** Of the file system that the packs lie on. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#options.directory);
    return bavail * bsize;
  }

  /** Takes it off its name first: what a crash leaves of it is no pack. */
  async #discard(sha256: string): Promise<void> {
    const gone = join(this.#options.directory, `${GONE}${sha256}`);
    await rm(gone, { recursive: true, force: true });
    try {
      await rename(this.#at(sha256), gone);
    } catch (thrown) {
      if (codeOf(thrown) === "ENOENT") return;
      throw thrown;
    }
    await rm(gone, { recursive: true, force: true });
  }

  async #takeOver(sha256: string, into: string): Promise<boolean> {
    for (const { directory, pack } of [...this.#installed(), this.factory]) {
      const file = pack.files.find((each) => each.sha256 === sha256);
      if (file === undefined) continue;
      const from = join(directory, file.name);
      if ((await sha256OfFile(from)) !== sha256) continue;
      // The factory pack is somebody else's: a link would be one file with two owners.
      if (directory === this.factory.directory) await copyFile(from, into);
      else await link(from, into).catch(() => copyFile(from, into));
      if ((await sha256OfFile(into)) === sha256) return true;
      await rm(into, { force: true });
    }
    return false;
  }

  #installed(): readonly PackOnDisk[] {
    return readdirSync(this.#options.directory)
      .filter((name) => Sha256.safeParse(name).success)
      .flatMap((sha256) => {
        const directory = this.#at(sha256);
        const bytes = manifestNow(directory);
        return bytes === undefined || sha256Of(bytes) !== sha256
          ? []
          : [{ directory, pack: packOf(bytes), sha256 }];
      });
  }

  #targetOf(pack: PackName | undefined): string | undefined {
    return pack === undefined || pack.sha256 === this.factory.sha256 ? undefined : pack.sha256;
  }

  #at(sha256: string): string {
    return join(this.#options.directory, Sha256.parse(sha256));
  }

  #fetching(sha256: string): string {
    return join(this.#options.directory, `${FETCHING}${Sha256.parse(sha256)}`);
  }
}

/** As the journal and the reports name it. */
export function nameOf({ pack, sha256 }: PackOnDisk): PackName {
  return {
    id: pack.id,
    sha256,
    releaseCounter: pack.releaseCounter,
    spaceId: pack.embedder.spaceId,
  };
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** @throws Fault `pack_invalid` */
export function packOf(manifest: Uint8Array): Pack {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(manifest).toString("utf8"));
  } catch (cause) {
    throw new Fault(
      "pack_invalid",
      `a pack.json is no JSON (${messageOf(cause)}): release it again`,
    );
  }
  const parsed = Pack.safeParse(json);
  if (parsed.success && !parsed.data.files.some(({ name }) => name === MANIFEST))
    return parsed.data;
  throw new Fault("pack_invalid", "a pack.json is none that this version understands: update it");
}

function manifestNow(directory: string): Uint8Array | undefined {
  try {
    const bytes = readFileSync(join(directory, MANIFEST));
    return bytes.byteLength > MANIFEST_MAX_BYTES ? undefined : bytes;
  } catch {
    return undefined;
  }
}

function damaged(sha256: string, what: string): Fault {
  return new Fault("pack_damaged", `the fetched pack ${sha256.slice(0, 12)}: ${what}`, {
    retry: "later",
  });
}
