/** Branded primitives: values that share a representation but must never be mixed up. */

declare const brand: unique symbol;

/** `Base` that only code naming `Name` can produce. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };

/** Milliseconds since 1970-01-01T00:00:00Z, by the wall clock. May jump. */
export type EpochMs = Brand<number, "EpochMs">;
/** Milliseconds of the machine's monotonic clock (CLOCK_MONOTONIC): comparable between processes of one boot. */
export type MonotonicMs = Brand<number, "MonotonicMs">;
/** Cosine of two unit vectors, in [-1, 1]. */
export type Cosine = Brand<number, "Cosine">;

export type CameraId = Brand<string, "CameraId">;
export type DoorId = Brand<string, "DoorId">;
export type IdentityId = Brand<string, "IdentityId">;
/** Names the set of embeddings that may be compared: model and preprocessing. */
export type SpaceId = Brand<string, "SpaceId">;
export type PackId = Brand<string, "PackId">;
/** Unique over all tracks of one device, also across restarts of the vision process. */
export type TrackId = Brand<string, "TrackId">;
export type TemplateId = Brand<string, "TemplateId">;

export const epochMs = (value: number): EpochMs => value as EpochMs;
export const monotonicMs = (value: number): MonotonicMs => value as MonotonicMs;
export const cosine = (value: number): Cosine => value as Cosine;
