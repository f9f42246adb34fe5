/** Our transfers behind `tuf-js`'s `Fetcher`. */
import type { Fetcher } from "tuf-js";
import { DownloadHTTPError } from "tuf-js/dist/error.js";
import { Fault } from "../../lib/fault.ts";
import { type FetchDeps, fetchBytes } from "./fetch.ts";
import { StatusFault } from "./transport.ts";

export class MetadataFetcher implements Fetcher {
  /** What failed last, since `tuf-js` passes on only its text. */
  fault: Fault | undefined;
  readonly #deps: FetchDeps;

  constructor(deps: FetchDeps) {
    this.#deps = deps;
  }

  async downloadBytes(url: string, maxLength: number): Promise<Buffer> {
    try {
      return await fetchBytes(new URL(url), maxLength, this.#deps);
    } catch (thrown) {
      if (thrown instanceof Fault) this.fault = thrown;
      // The walk along the roots ends at the first one that is not there.
      if (thrown instanceof StatusFault) throw new DownloadHTTPError(thrown.message, thrown.status);
      throw thrown;
    }
  }

  /** Targets are fetched by us, with their own limits. */
  downloadFile<T>(): Promise<T> {
    throw new Error("targets are not fetched through tuf-js");
  }
}
