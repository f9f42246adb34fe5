/** The cameras whose frame sockets vision has: what a successor process must be handed. */
import type { Socket } from "node:net";
import type { CameraId } from "../lib/brand.ts";
import type { VisionLink } from "./link.ts";

/** The largest picture that a decoder may send. */
export interface SizeLimit {
  readonly widthPx?: number | undefined;
  readonly heightPx?: number | undefined;
}

interface AttachedCamera {
  readonly socket: Socket;
  readonly header: Uint8Array | undefined;
  readonly size: SizeLimit;
  /** The process that has the socket. */
  link: VisionLink | undefined;
}

export class AttachedCameras {
  readonly #cameras = new Map<CameraId, AttachedCamera>();

  has(cameraId: CameraId): boolean {
    return this.#cameras.has(cameraId);
  }

  /** The same socket again keeps its header and its process. */
  set(cameraId: CameraId, socket: Socket, header: Uint8Array | undefined, size: SizeLimit): void {
    const known = this.#cameras.get(cameraId);
    const isSame = known?.socket === socket;
    this.#cameras.set(cameraId, {
      socket,
      header: header ?? (isSame ? known.header : undefined),
      size,
      link: isSame ? known.link : undefined,
    });
  }

  delete(cameraId: CameraId): void {
    this.#cameras.delete(cameraId);
  }

  /** @returns false when that camera is not attached */
  noteHeader(cameraId: CameraId, header: Uint8Array): boolean {
    const camera = this.#cameras.get(cameraId);
    if (camera === undefined) return false;
    this.#cameras.set(cameraId, { ...camera, header });
    return true;
  }

  /** Gives `link` every socket that it does not have yet. */
  handTo(link: VisionLink): void {
    for (const [cameraId, camera] of this.#cameras) {
      if (camera.link === link) continue;
      camera.link = link;
      const { header, size, socket } = camera;
      link.tell({ kind: "attach", cameraId, header, ...size }, socket);
    }
  }
}
