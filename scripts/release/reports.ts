/** Devices' reports: believed when their own key has signed them, and never an older one after a newer. */
import { Envelope } from "../../src/lib/envelope.ts";
import { parseJson } from "../../src/lib/json.ts";
import { KeyRing, keyIdOf } from "../../src/mqtt/envelope.ts";
import { UpdateReport } from "../../src/release/report.ts";
import type { FleetDevice } from "./fleet.ts";
import type { Heard } from "./state.ts";

export type ReportVerdict =
  | { readonly kind: "heard"; readonly heard: Heard }
  | {
      readonly kind: "refused";
      readonly code: "malformed" | "bad_signature" | "misaddressed" | "replayed";
    };

/**
 * @param text what lies on the device's `update/state`
 * @param before the newest report of it that was believed
 */
export function judgeReport(
  text: string,
  device: FleetDevice,
  before: Heard | undefined,
): ReportVerdict {
  const envelope = Envelope.safeParse(parseJson(text));
  if (!envelope.success) return { kind: "refused", code: "malformed" };
  const kid = keyIdOf(Buffer.from(device.publicKey, "base64"));
  const isSigned =
    envelope.data.kid === kid && new KeyRing([device.publicKey]).verify(envelope.data);
  if (!isSigned) return { kind: "refused", code: "bad_signature" };
  const report = UpdateReport.safeParse(parseJson(envelope.data.payload));
  if (!report.success) return { kind: "refused", code: "malformed" };
  const { seq, at, state, jobId, active, candidate, shadow, error } = report.data;
  if (report.data.device !== device.address) return { kind: "refused", code: "misaddressed" };
  // A device that was set up anew counts from the beginning again, but not at an earlier time.
  const isOld = before !== undefined && seq < before.seq && Date.parse(at) <= Date.parse(before.at);
  if (isOld) return { kind: "refused", code: "replayed" };
  const isSame = before?.jobId === jobId && before?.active.sha256 === active.sha256;
  const wasCommitted = isSame ? before?.committedAt : undefined;
  const committedAt = state === "committed" ? (wasCommitted ?? at) : wasCommitted;
  return {
    kind: "heard",
    heard: {
      seq,
      at,
      state,
      active,
      ...(jobId === undefined ? {} : { jobId }),
      ...(candidate === undefined ? {} : { candidate: candidate.sha256 }),
      ...(shadow === undefined ? {} : { shadow }),
      ...(error === undefined ? {} : { error: error.code }),
      ...(committedAt === undefined ? {} : { committedAt }),
    },
  };
}
