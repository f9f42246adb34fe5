/** One file of a pack: fetched in as many pieces as the line needs, whole and genuine in the end. */
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rm, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { codeOf, Fault } from "../../lib/fault.ts";
import { blobPathOf } from "../../release/repository.ts";
import { renameDurably } from "./durable.ts";
import { type FetchDeps, isPassing, pause } from "./fetch.ts";
import { notIdle, paced } from "./pace.ts";
import { nameOf, type Opened, urlBelow } from "./transport.ts";

export interface Blob {
  readonly sha256: string;
  readonly bytes: number;
}

/** A try that brought this much has made progress: the count of failed tries starts again. */
const PROGRESS_BYTES = 256 * 1024;
const READ_BYTES = 1024 * 1024;

/** See `ReleaseSource.fetchBlob`. */
export async function fetchBlob(
  blob: Blob,
  into: string,
  onProgress: (received: number) => void,
  deps: FetchDeps,
): Promise<void> {
  if (await isThere(blob, into)) return onProgress(blob.bytes);
  const part = `${into}.part`;
  for (let isAgain = false; ; isAgain = true) {
    const { isGenuine, isResumed } = await fetchPart(blob, part, onProgress, deps);
    if (isGenuine) return renameDurably(part, into);
    await rm(part, { force: true });
    // What a power cut left of an earlier try may be anything: once more, from the beginning.
    if (!isResumed || isAgain) throw notGenuine(blob, deps);
  }
}

async function isThere(blob: Blob, path: string): Promise<boolean> {
  const size = await stat(path).then(
    (found) => found.size,
    () => undefined,
  );
  if (size !== blob.bytes) return false;
  await using handle = await open(path, "r");
  const hash = await hashOf(handle, blob.bytes);
  return hash.digest("hex") === blob.sha256;
}

interface Part {
  readonly isGenuine: boolean;
  /** Whether some of it was there before. */
  readonly isResumed: boolean;
}

/** Fills the part file to the blob's length and syncs it. @throws Fault of a transfer; what came stays */
async function fetchPart(
  blob: Blob,
  part: string,
  onProgress: (received: number) => void,
  deps: FetchDeps,
): Promise<Part> {
  await using handle = await writable(part);
  const before = Math.min((await handle.stat()).size, blob.bytes);
  await enoughSpace(dirname(part), blob.bytes - before, deps);
  const piece = new Piece(handle, blob, await hashOf(handle, before), before, onProgress);
  onProgress(before);
  let failed = 0;
  while (piece.received < blob.bytes) {
    const begun = piece.received;
    try {
      await fetchRest(piece, deps);
    } catch (thrown) {
      deps.signal.throwIfAborted();
      failed = piece.received - begun >= PROGRESS_BYTES ? 1 : failed + 1;
      if (failed >= deps.options.attempts || !isPassing(thrown)) throw thrown;
      await pause(failed, deps);
    }
  }
  await handle.truncate(blob.bytes);
  await handle.sync();
  return { isGenuine: piece.digest() === blob.sha256, isResumed: before > 0 };
}

async function fetchRest(piece: Piece, deps: FetchDeps): Promise<void> {
  const { options, transport, clock } = deps;
  const url = urlBelow(options.url, blobPathOf(piece.blob.sha256));
  const name = nameOf(url);
  const stop = new AbortController();
  const signal = AbortSignal.any([deps.signal, stop.signal]);
  let opened: Opened | undefined;
  try {
    opened = await notIdle(transport.open(url, piece.received, signal), name, options, clock);
    // A server that ignores ranges begins at 0, and so do we.
    if (opened.from === 0) piece.restart();
    for await (const chunk of paced(opened.body, name, options, clock)) {
      deps.signal.throwIfAborted();
      await piece.write(chunk, name);
    }
  } finally {
    stop.abort();
    opened?.close();
  }
  if (piece.received < piece.blob.bytes) {
    throw new Fault(
      "fetch_failed",
      `${name} ended after ${piece.received} of ${piece.blob.bytes} bytes: the connection was cut`,
      { retry: "later" },
    );
  }
}

/** What is there of a blob, with its running hash. */
class Piece {
  readonly blob: Blob;
  received: number;
  readonly #handle: FileHandle;
  readonly #onProgress: (received: number) => void;
  #hash: Hash;

  constructor(
    handle: FileHandle,
    blob: Blob,
    hash: Hash,
    received: number,
    onProgress: (received: number) => void,
  ) {
    this.#handle = handle;
    this.blob = blob;
    this.#hash = hash;
    this.received = received;
    this.#onProgress = onProgress;
  }

  restart(): void {
    this.received = 0;
    this.#hash = createHash("sha256");
  }

  /** @throws Fault `too_large`, `low_disk` */
  async write(chunk: Uint8Array, name: string): Promise<void> {
    if (this.received + chunk.byteLength > this.blob.bytes) {
      throw new Fault(
        "too_large",
        `${name} goes on after the ${this.blob.bytes} bytes that were signed: check the repository`,
        { retry: "later" },
      );
    }
    let written = 0;
    while (written < chunk.byteLength) {
      const rest = chunk.subarray(written);
      const { bytesWritten } = await this.#handle
        .write(rest, 0, rest.byteLength, this.received + written)
        .catch((thrown: unknown) => {
          throw codeOf(thrown) === "ENOSPC" ? lowDisk(rest.byteLength, 0, thrown) : thrown;
        });
      written += bytesWritten;
    }
    this.#hash.update(chunk);
    this.received += chunk.byteLength;
    this.#onProgress(this.received);
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

/** Not emptied when it is there. */
async function writable(path: string): Promise<FileHandle> {
  const handle = await open(path, "r+").catch((thrown: unknown) => {
    if (codeOf(thrown) !== "ENOENT") throw thrown;
    return undefined;
  });
  return handle ?? open(path, "wx+", 0o600);
}

async function hashOf(handle: FileHandle, bytes: number): Promise<Hash> {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(Math.min(READ_BYTES, Math.max(1, bytes)));
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, bytes - at), at);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return hash;
}

async function enoughSpace(directory: string, needed: number, deps: FetchDeps): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize - deps.options.diskReserveBytes;
  if (free < needed) throw lowDisk(needed, Math.max(0, free), undefined);
}

function lowDisk(needed: number, free: number, cause: unknown): Fault {
  return new Fault(
    "low_disk",
    `${needed} bytes are to be fetched and ${free} may be used: free space on the device`,
    { retry: "later", cause },
  );
}

function notGenuine(blob: Blob, { options }: FetchDeps): Fault {
  const name = nameOf(urlBelow(options.url, blobPathOf(blob.sha256)));
  return new Fault(
    "tuf_hash",
    `${name} is not the file that was signed: it was changed on the way`,
    {
      retry: "later",
    },
  );
}
