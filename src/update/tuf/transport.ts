/** Byte streams from a repository: http, https, or a directory. Nothing here trusts what comes. */
import { open, readFile } from "node:fs/promises";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { fileURLToPath } from "node:url";
import { codeOf, Fault } from "../../lib/fault.ts";
import { isPlainAbroad, type RepositoryOptions } from "./options.ts";

const REDIRECTS_MAX = 3;

export interface Opened {
  /** Where in the file the body begins: 0 when the server ignored the range. */
  readonly from: number;
  readonly body: AsyncIterable<Uint8Array>;
  readonly close: () => void;
}

/** The server answered, with something else than the file. */
export class StatusFault extends Fault {
  readonly status: number;

  constructor(status: number, url: URL) {
    super(
      "fetch_refused",
      `${nameOf(url)} was answered with status ${status}: check the repository and who may read it`,
      { retry: "later" },
    );
    this.status = status;
  }
}

/** A URL for messages: without query, which may hold a token. */
export function nameOf(url: URL): string {
  return `${url.origin === "null" ? url.protocol : url.origin}${url.pathname}`;
}

/** @param root as configured. @returns the URL of a file below it */
export function urlBelow(root: string, path: string): URL {
  return new URL(path, root.endsWith("/") ? root : `${root}/`);
}

export class Transport {
  readonly #options: RepositoryOptions;
  readonly #ca: Buffer | undefined;
  readonly #authorization: string | undefined;

  private constructor(
    options: RepositoryOptions,
    ca: Buffer | undefined,
    authorization: string | undefined,
  ) {
    this.#options = options;
    this.#ca = ca;
    this.#authorization = authorization;
  }

  /** @throws Fault `credential_unreadable` */
  static async open(options: RepositoryOptions): Promise<Transport> {
    const { caFile, authorizationFile } = options;
    const ca = caFile === undefined ? undefined : await readCredential("caFile", caFile);
    const authorization =
      authorizationFile === undefined
        ? undefined
        : (await readCredential("authorizationFile", authorizationFile)).toString("latin1").trim();
    return new Transport(options, ca, authorization);
  }

  /**
   * @param from first byte that is wanted
   * @throws Fault `fetch_failed`, `insecure_redirect`; {@link StatusFault}
   */
  async open(url: URL, from: number, signal: AbortSignal): Promise<Opened> {
    if (url.protocol === "file:") return openFile(url, from);
    let target = url;
    for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects += 1) {
      const response = await this.#request(target, url.origin, from, signal);
      const location = redirectOf(response);
      if (location === undefined) return bodyOf(response, target, from);
      response.destroy();
      target = this.#followed(target, location);
    }
    throw new Fault(
      "fetch_failed",
      `${nameOf(url)} is redirected more than ${REDIRECTS_MAX} times: check the server`,
      { retry: "later" },
    );
  }

  #request(
    url: URL,
    trustedOrigin: string,
    from: number,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const headers = {
      accept: "*/*",
      "accept-encoding": "identity",
      "user-agent": "ostiary",
      ...(from > 0 ? { range: `bytes=${from}-` } : {}),
      ...(this.#authorization !== undefined && url.origin === trustedOrigin
        ? { authorization: this.#authorization }
        : {}),
    };
    const ca = this.#ca === undefined ? {} : { ca: this.#ca };
    return new Promise((resolve, reject) => {
      const request =
        url.protocol === "https:"
          ? requestHttps(url, { headers, signal, ...ca, minVersion: "TLSv1.2" })
          : requestHttp(url, { headers, signal });
      request.once("response", (response) => {
        // Whoever reads the body hears of it; nobody may read it any more.
        response.on("error", ignore);
        resolve(response);
      });
      request.on("error", (cause) => reject(failed(url, cause)));
      request.end();
    });
  }

  #followed(from: URL, location: string): URL {
    const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
    const isWeaker = from.protocol === "https:" && to?.protocol === "http:";
    const isPlain = to !== undefined && isPlainAbroad(to.href) && !this.#options.insecureHttp;
    if (to === undefined || !/^https?:$/.test(to.protocol) || isWeaker || isPlain) {
      throw new Fault(
        "insecure_redirect",
        `${nameOf(from)} is redirected to where a release may not come from: give the final https:// address`,
        { retry: "later" },
      );
    }
    return to;
  }
}

function ignore(): void {}

async function readCredential(key: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (thrown) {
    throw new Fault(
      "credential_unreadable",
      `update.repository.${key}: cannot read ${path} (${codeOf(thrown)}): check the path and who may read it`,
      { retry: "later" },
    );
  }
}

async function openFile(url: URL, from: number): Promise<Opened> {
  const path = fileURLToPath(url);
  const handle = await open(path, "r").catch((thrown: unknown) => {
    throw codeOf(thrown) === "ENOENT" ? new StatusFault(404, url) : failed(url, thrown);
  });
  const isFile = (await handle.stat()).isFile();
  if (!isFile) {
    await handle.close();
    throw new StatusFault(404, url);
  }
  const stream = handle.createReadStream({ start: from });
  stream.on("error", ignore);
  return { from, body: withFaults(stream, url), close: () => void stream.destroy() };
}

function redirectOf(response: IncomingMessage): string | undefined {
  const isRedirect = [301, 302, 303, 307, 308].includes(response.statusCode ?? 0);
  return isRedirect ? response.headers.location : undefined;
}

function bodyOf(response: IncomingMessage, url: URL, from: number): Opened {
  const status = response.statusCode ?? 0;
  const begin = status === 206 ? beginOf(response.headers["content-range"]) : 0;
  if ((status !== 200 && status !== 206) || (begin !== 0 && begin !== from)) {
    response.destroy();
    throw new StatusFault(status, url);
  }
  return { from: begin, body: withFaults(response, url), close: () => void response.destroy() };
}

/** First byte of `bytes 100-199/200`; -1 when it says none. */
function beginOf(contentRange: string | undefined): number {
  const found = /^bytes (\d+)-/.exec(contentRange ?? "");
  return found === null ? -1 : Number(found[1]);
}

async function* withFaults(body: AsyncIterable<Uint8Array>, url: URL): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (thrown) {
    throw failed(url, thrown);
  }
}

function failed(url: URL, cause: unknown): Fault {
  const code = codeOf(cause);
  const isTrust = /^(?:ERR_TLS|CERT_|UNABLE_|DEPTH_|SELF_SIGNED|ERR_SSL|HOSTNAME)/.test(code);
  return new Fault(
    "fetch_failed",
    isTrust
      ? `the server of ${nameOf(url)} is not who it should be (${code}): check caFile, its certificate and the clock`
      : `${nameOf(url)} cannot be fetched (${code}): check that the repository is reachable`,
    { retry: "later", cause },
  );
}
