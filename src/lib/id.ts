/** Syntax of identifiers, shared by configuration, commands and topics. */
import { z } from "zod";
import type {
  CameraId,
  DoorId,
  IdentityId,
  PackId,
  SpaceId,
  TemplateId,
  TrackId,
} from "./brand.ts";

/** Safe as an MQTT topic level, a file name and a shell word: no `+ # / NUL`, no dot first. */
const slug = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    "must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit",
  );

const branded = <Id extends string>() => slug.transform((value) => value as string as Id);

export const SiteId = slug;
export const DeviceId = slug;
export const GroupName = slug;
export const CameraIdSchema = branded<CameraId>();
export const DoorIdSchema = branded<DoorId>();
export const IdentityIdSchema = branded<IdentityId>();
export const PackIdSchema = branded<PackId>();
export const SpaceIdSchema = branded<SpaceId>();
export const TemplateIdSchema = branded<TemplateId>();
export const TrackIdSchema = branded<TrackId>();
