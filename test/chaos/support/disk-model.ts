/**
 * A file system of which only what was synced is sure. After a power loss a file has what its last sync
 * had, with any of the writes since, each whole, torn or not there; a directory has the names of its last
 * sync and those changes since up to some point. That is more than a journalling file system loses.
 */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { DiskOp } from "./disk-log.ts";

type Change =
  | { readonly kind: "write"; readonly bytes: Buffer; readonly at: number }
  | { readonly kind: "truncate"; readonly size: number };
type NameChange = readonly { readonly name: string; readonly node: Node | undefined }[];

interface File {
  readonly kind: "file";
  now: Buffer;
  disk: Buffer;
  pending: Change[];
}
interface Directory {
  readonly kind: "directory";
  now: Map<string, Node>;
  disk: Map<string, Node>;
  /** Each happens as a whole: a rename within a directory is one. */
  pending: NameChange[];
}
type Node = File | Directory | { readonly kind: "link"; readonly target: string };

/** How much of what was not synced is there afterwards. */
export type Loss = "nothing lost" | "everything lost" | "some lost";

const SECTOR = 512;

export class DiskModel {
  readonly #root: string;
  readonly #top: Directory;
  readonly #open = new Map<number, { readonly node: Node; position: number }>();

  /** @param root holds what is synced from the beginning */
  constructor(root: string) {
    this.#root = root;
    this.#top = readTree(root);
  }

  apply(op: DiskOp): void {
    switch (op.kind) {
      case "open":
        this.#opened(op);
        break;
      case "close":
        this.#open.delete(op.fd);
        break;
      case "write": {
        const open = this.#at(op.fd);
        const at = op.at ?? open.position;
        if (op.at === undefined) open.position += op.bytes.length;
        if (open.node.kind === "file") change(open.node, { kind: "write", bytes: op.bytes, at });
        break;
      }
      case "truncate": {
        const { node } = this.#at(op.fd);
        if (node.kind === "file") change(node, { kind: "truncate", size: op.size });
        break;
      }
      case "sync":
        sync(this.#at(op.fd).node);
        break;
      case "rename":
        this.#rename(op.from, op.to);
        break;
      case "link":
        this.#name(op.to, this.#node(op.from));
        break;
      case "symlink":
        this.#name(op.path, { kind: "link", target: op.target });
        break;
      case "mkdir":
        this.#name(op.path, { kind: "directory", now: new Map(), disk: new Map(), pending: [] });
        break;
      default:
        this.#name(op.path, undefined);
    }
  }

  /** Writes what a machine would find, to `into`. */
  materialise(into: string, loss: Loss, random: () => number): void {
    write(this.#top, into, loss, random, new Map());
  }

  #opened({ fd, path, creates, truncates }: Extract<DiskOp, { readonly kind: "open" }>): void {
    let node = this.#find(path);
    if (node === undefined && creates) {
      node = { kind: "file", now: Buffer.alloc(0), disk: Buffer.alloc(0), pending: [] };
      this.#name(path, node);
    }
    if (node === undefined) return;
    if (truncates && node.kind === "file") change(node, { kind: "truncate", size: 0 });
    this.#open.set(fd, { node, position: 0 });
  }

  #rename(from: string, to: string): void {
    const node = this.#node(from);
    if (dirname(from) !== dirname(to)) {
      this.#name(to, node);
      this.#name(from, undefined);
      return;
    }
    rename(this.#directory(dirname(to)), [
      { name: basename(from), node: undefined },
      { name: basename(to), node },
    ]);
  }

  #name(path: string, node: Node | undefined): void {
    rename(this.#directory(dirname(path)), [{ name: basename(path), node }]);
  }

  #at(fd: number) {
    const open = this.#open.get(fd);
    if (open === undefined) throw new Error(`descriptor ${fd} is not open in the record`);
    return open;
  }

  #node(path: string): Node {
    const node = this.#find(path);
    if (node === undefined) throw new Error(`${path} is not in the record`);
    return node;
  }

  #directory(path: string): Directory {
    const node = this.#node(path);
    if (node.kind !== "directory") throw new Error(`${path} is no directory`);
    return node;
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#top;
    for (const name of path.slice(this.#root.length).split("/").filter(Boolean))
      node = node?.kind === "directory" ? node.now.get(name) : undefined;
    return node;
  }
}

function change(file: File, what: Change): void {
  file.pending.push(what);
  file.now = changed(file.now, what);
}

function rename(directory: Directory, what: NameChange): void {
  directory.pending.push(what);
  renamed(directory.now, what);
}

function sync(node: Node): void {
  if (node.kind === "link") return;
  node.pending = [];
  if (node.kind === "file") node.disk = node.now;
  else node.disk = new Map(node.now);
}

function renamed(names: Map<string, Node>, what: NameChange): void {
  for (const { name, node } of what) {
    if (node === undefined) names.delete(name);
    else names.set(name, node);
  }
}

/** @returns a new buffer: the old one may be the synced one */
function changed(content: Buffer, what: Change): Buffer {
  if (what.kind === "truncate") {
    const cut = Buffer.alloc(what.size);
    content.copy(cut, 0, 0, Math.min(what.size, content.length));
    return cut;
  }
  const grown = Buffer.alloc(Math.max(content.length, what.at + what.bytes.length));
  content.copy(grown);
  what.bytes.copy(grown, what.at);
  return grown;
}

function readTree(path: string): Directory {
  const names = new Map<string, Node>();
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const at = join(path, entry.name);
    if (entry.isDirectory()) names.set(entry.name, readTree(at));
    else if (entry.isSymbolicLink())
      names.set(entry.name, { kind: "link", target: readlinkSync(at) });
    else {
      const content = readFileSync(at);
      names.set(entry.name, { kind: "file", now: content, disk: content, pending: [] });
    }
  }
  return { kind: "directory", now: names, disk: new Map(names), pending: [] };
}

function write(
  directory: Directory,
  into: string,
  loss: Loss,
  random: () => number,
  written: Map<File, Buffer>,
): void {
  mkdirSync(into, { recursive: true });
  for (const [name, node] of survivingNames(directory, loss, random)) {
    const at = join(into, name);
    if (node.kind === "directory") write(node, at, loss, random, written);
    else if (node.kind === "link") symlinkSync(node.target, at);
    else {
      // A file with two names is one file.
      const content = written.get(node) ?? survivingBytes(node, loss, random);
      written.set(node, content);
      writeFileSync(at, content);
    }
  }
}

function survivingNames(
  { now, disk, pending }: Directory,
  loss: Loss,
  random: () => number,
): ReadonlyMap<string, Node> {
  if (loss === "nothing lost") return now;
  const names = new Map(disk);
  if (loss === "everything lost") return names;
  const kept = Math.floor(random() * (pending.length + 1));
  for (const what of pending.slice(0, kept)) renamed(names, what);
  return names;
}

function survivingBytes({ now, disk, pending }: File, loss: Loss, random: () => number): Buffer {
  if (loss === "nothing lost") return now;
  if (loss === "everything lost") return disk;
  let content = disk;
  for (const what of pending) {
    const luck = random();
    if (luck < 0.4) continue;
    const isTorn = luck < 0.6 && what.kind === "write";
    const sectors = isTorn ? Math.floor((what.bytes.length * random()) / SECTOR) : 0;
    const kept = isTorn ? { ...what, bytes: what.bytes.subarray(0, sectors * SECTOR) } : what;
    content = changed(content, kept);
  }
  return content;
}
