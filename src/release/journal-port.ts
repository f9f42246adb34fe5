/** What the updater keeps in the store of record, as a port. */
import { z } from "zod";
import type { EpochMs } from "../lib/brand.ts";
import type { JournalEntry } from "./journal.ts";

/** A pack that failed here, or that an operator stopped. */
export interface Denied {
  /** Of `pack.json`. */
  readonly sha256: string;
  /** A desired state with a higher one tries it again. */
  readonly attemptEpoch: number;
  readonly code: string;
}

/** Verified versions of metadata, as the TUF client gives them and wants them back. */
export const MetadataFloors = z.record(z.string().max(32), z.union([z.string().max(64), z.int()]));
export type MetadataFloors = z.infer<typeof MetadataFloors>;

/** What is never gone below again. */
export interface UpdateFloors {
  /** Least release counter that is installed without a signed word of the director. */
  readonly release: number;
  /** It cannot be earlier now. */
  readonly timeMs: EpochMs;
  readonly metadata: MetadataFloors | undefined;
}

/** The newest desired state that a director key signed for this device. */
export interface LastDesired {
  readonly seq: number;
  readonly jobId: string;
}

/** What changes together. */
export interface JournalChange {
  readonly entry?: JournalEntry;
  /** Raises the floor; a lower one is kept out, unless `lowered`. */
  readonly release?: { readonly counter: number; readonly lowered?: boolean };
  /** Raises the floor. */
  readonly timeMs?: EpochMs;
  readonly metadata?: MetadataFloors;
  /** Raises the number of that key. */
  readonly desired?: LastDesired & { readonly kid: string };
  readonly deny?: Denied;
  /** Takes a pack off the deny list. */
  readonly allow?: string;
}

export interface UpdateJournal {
  /** @throws Fault `journal_unreadable`: the row is not one that this version writes */
  readonly entry: () => JournalEntry;
  readonly floors: () => UpdateFloors;
  readonly lastDesired: (kid: string) => LastDesired | undefined;
  readonly denied: (sha256: string) => Denied | undefined;
  /** All of it or nothing, durable when it returns. @throws Fault of the store */
  readonly change: (change: JournalChange, at: EpochMs) => void;
  /** Higher than every one before, also over crashes. */
  readonly nextReportSeq: () => number;
}
