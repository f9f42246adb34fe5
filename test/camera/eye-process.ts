/** A process that stands in for vision: takes frame sockets over IPC and reports health and headers. */
import { Socket } from "node:net";
import type { CameraId } from "../../src/lib/brand.ts";
import { Eye } from "./eyes.ts";

interface Attach {
  readonly cameraId: CameraId;
  readonly header?: Uint8Array;
}

const eyes: Eye[] = [];

process.on("message", (message: Attach, handle: unknown) => {
  if (handle instanceof Socket) eyes.push(new Eye(message.cameraId, handle, message.header));
});

setInterval(() => {
  for (const eye of eyes) {
    process.send?.({ kind: "health", health: eye.health() });
    if (eye.header !== undefined) process.send?.({ kind: "stream-header", bytes: eye.header });
  }
}, 200);
