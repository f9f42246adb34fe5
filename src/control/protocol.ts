/** What the control socket speaks: JSON lines. The server greets; then each request gets its answers, the last one final. */
import { z } from "zod";
import { CommandPayload } from "../lib/envelope.ts";

export const CONTROL_PROTOCOL = 1;
/** Longest line in either direction, bytes. */
export const LINE_MAX_BYTES = 8 * 1024 * 1024;

export const Greeting = z.object({ ostiary: z.literal("control"), protocol: z.int() });

export const ControlRequest = z.strictObject({
  /** Chosen by the client: a repeated id gets its stored answer and no second effect. */
  id: CommandPayload.shape.id,
  cmd: CommandPayload.shape.cmd,
  args: z.unknown().optional(),
});
export type ControlRequest = z.infer<typeof ControlRequest>;

const ControlAnswer = z.union([
  z.object({ ok: z.literal(true), data: z.unknown().optional(), progress: z.unknown().optional() }),
  z.object({
    ok: z.literal(false),
    error: z.object({
      code: z.string(),
      message: z.string(),
      reasons: z.array(z.string()).exactOptional(),
    }),
  }),
]);

/** `id` is null when a line could not be read as a request. */
export const ControlReply = z.object({
  id: z.string().nullable(),
  final: z.boolean(),
  answer: ControlAnswer,
});
export type ControlReply = z.infer<typeof ControlReply>;

/** Cuts a byte stream into lines, bounded. */
export class LineReader {
  readonly #maxBytes: number;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(maxBytes = LINE_MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** @returns the lines that are complete now, or undefined when one is too long: the stream is lost then */
  push(chunk: Buffer): readonly string[] | undefined {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(0x0a, from); end >= 0; end = chunk.indexOf(0x0a, from)) {
      if (!this.#keep(chunk.subarray(from, end))) return undefined;
      lines.push(Buffer.concat(this.#parts).toString("utf8"));
      this.#parts = [];
      this.#length = 0;
      from = end + 1;
    }
    return this.#keep(chunk.subarray(from)) ? lines : undefined;
  }

  #keep(part: Buffer): boolean {
    if (part.length === 0) return true;
    this.#length += part.length;
    if (this.#length > this.#maxBytes) return false;
    this.#parts.push(part);
    return true;
  }
}
