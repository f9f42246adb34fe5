/** What `tuf-js` throws, as our codes. Its classes are not told apart by name, and it wraps some in text. */
import { Fault, messageOf } from "../../lib/fault.ts";

/** First match wins. Texts of tuf-js 6.0 and @tufjs/models 5.0. */
const CODES: readonly (readonly [RegExp, string])[] = [
  [/ is expired|ExpiredMetadataError/, "tuf_expired"],
  [/was signed by \d+\/\d+ keys|UnsignedMetadataError/, "tuf_signature"],
  [/is less than current version|Expected version \d+, got \d+/, "tuf_rollback"],
  [/Missing file .* in new snapshot/, "tuf_rollback"],
  [/Expected (?:length|hash) |LengthOrHashMismatchError/, "tuf_mix"],
  [/(?:doesn't|does not) match|Missing .* in snapshot|BadVersionError/, "tuf_mix"],
  [/Failed to persist metadata|PersistError/, "metadata_unwritable"],
];

const SAYS: Readonly<Record<string, string>> = {
  tuf_expired: "the repository's metadata is past its date: publish it again",
  tuf_signature: "the repository's metadata is not signed by enough of the keys that it must be",
  tuf_rollback: "the repository shows older metadata than was seen here",
  tuf_mix: "the repository's metadata does not fit together: parts of different releases",
  metadata_unwritable:
    "verified metadata cannot be written: check space and rights of the state directory",
  tuf_malformed: "the repository's metadata is not what TUF metadata looks like",
};

/** @param fetched what our own fetcher threw last: `tuf-js` hides it in text */
export function faultOf(thrown: unknown, fetched: Fault | undefined): Fault {
  if (thrown instanceof Fault) return thrown;
  const said = messageOf(thrown);
  if (fetched !== undefined && said.includes(fetched.message)) return fetched;
  const name = thrown instanceof Error ? thrown.constructor.name : "";
  const code = CODES.find(([pattern]) => pattern.test(`${name}: ${said}`))?.[1] ?? "tuf_malformed";
  return new Fault(code, `${SAYS[code]} (${said.slice(0, 200)})`, {
    retry: "later",
    cause: thrown,
  });
}
