/** A web server of a release repository that can be made to lie, stall and drip. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize } from "node:path";

/** What happens to one answer. */
export type Mischief =
  | { readonly kind: "status"; readonly status: number }
  | { readonly kind: "redirect"; readonly to: string }
  /** Says the whole length, closes after that many bytes. */
  | { readonly kind: "cut"; readonly after: number }
  /** Sends that many bytes, then nothing, and stays connected. */
  | { readonly kind: "stall"; readonly after: number }
  /** Sends `bytes`, then one more byte each time. */
  | { readonly kind: "drip"; readonly bytes: number; readonly everyMs: number }
  /** Sends something for ever. */
  | { readonly kind: "endless" }
  | { readonly kind: "flip"; readonly at: number }
  /** Sends the file as it is cut here, with a length that fits. */
  | { readonly kind: "shorter"; readonly bytes: number }
  | { readonly kind: "instead"; readonly content: Uint8Array }
  | { readonly kind: "ignore-range" };

export interface Asked {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

const CUT_MS = 200;

export class ReleaseServer implements AsyncDisposable {
  /** Directory that is served. */
  root: string;
  /** Decides about each answer by path; undefined: an honest one. */
  mischief: (path: string, asked: readonly Asked[]) => Mischief | undefined = () => undefined;
  readonly asked: Asked[] = [];
  readonly #server = createServer((request, response) => this.#answer(request, response));
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(root: string) {
    this.root = root;
  }

  static async start(root: string): Promise<ReleaseServer> {
    const made = new ReleaseServer(root);
    made.#server.listen(0, "127.0.0.1");
    await once(made.#server, "listening");
    return made;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  /** Paths that were asked for since the last call. */
  paths(): readonly string[] {
    return this.asked.splice(0).map(({ path }) => path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://x").pathname));
    const { range, authorization } = request.headers;
    const asked = { path, range, authorization };
    this.asked.push(asked);
    const mischief = this.mischief(path, this.asked);
    if (mischief?.kind === "status") return void response.writeHead(mischief.status).end();
    if (mischief?.kind === "redirect")
      return void response.writeHead(302, { location: mischief.to }).end();
    const content = contentOf(join(this.root, path), mischief);
    if (content === undefined) return void response.writeHead(404).end();
    this.#send(response, content, range, mischief);
  }

  #send(
    response: ServerResponse,
    content: Buffer,
    range: string | undefined,
    mischief: Mischief | undefined,
  ): void {
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
    const isPartial = from > 0 && from < content.length && mischief?.kind !== "ignore-range";
    const body = isPartial ? content.subarray(from) : content;
    if (mischief?.kind === "endless") {
      response.writeHead(200);
      response.write(body);
      more(response);
      return;
    }
    response.writeHead(isPartial ? 206 : 200, {
      "content-length": body.length,
      ...(isPartial
        ? { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` }
        : {}),
    });
    if (mischief?.kind === "cut") {
      // What was sent is to arrive: a client that sees the end first throws away what it has not read.
      response.write(body.subarray(0, mischief.after), () => {
        this.#timers.add(setTimeout(() => response.destroy(), CUT_MS));
      });
    } else if (mischief?.kind === "stall") response.write(body.subarray(0, mischief.after));
    else if (mischief?.kind === "drip") this.#drip(response, body, mischief);
    else response.end(body);
  }

  #drip(
    response: ServerResponse,
    body: Buffer,
    { bytes, everyMs }: Extract<Mischief, { readonly kind: "drip" }>,
  ): void {
    let sent = bytes;
    response.write(body.subarray(0, bytes));
    const timer = setInterval(() => {
      if (response.destroyed || sent >= body.length) return clearInterval(timer);
      response.write(body.subarray(sent, sent + 1));
      sent += 1;
    }, everyMs);
    this.#timers.add(timer);
  }
}

/** Writes until nobody reads any more. */
function more(response: ServerResponse): void {
  while (!response.destroyed && response.write(Buffer.alloc(65_536)));
  if (!response.destroyed) response.once("drain", () => more(response));
}

/** @returns undefined where there is no such file */
function contentOf(path: string, mischief: Mischief | undefined): Buffer | undefined {
  if (mischief?.kind === "instead") return Buffer.from(mischief.content);
  if (mischief?.kind === "endless") return Buffer.from("{");
  try {
    return changed(readFileSync(path), mischief);
  } catch {
    return undefined;
  }
}

function changed(content: Buffer, mischief: Mischief | undefined): Buffer {
  if (mischief?.kind === "shorter") return content.subarray(0, mischief.bytes);
  if (mischief?.kind !== "flip") return content;
  const flipped = Buffer.from(content);
  const at = Math.min(mischief.at, flipped.length - 1);
  flipped[at] = (flipped[at] ?? 0) ^ 0x04;
  return flipped;
}
