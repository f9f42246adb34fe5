/** Every command by name: what MQTT topics, the control socket and the CLI can ask for. */
import type { Command } from "../command.ts";
import { cameraSnapshot, deviceStatus, eventReplay, galleryStats } from "./device.ts";
import { enrolmentAddImage } from "./enrolment-image.ts";
import { enrolmentCancel, enrolmentStart } from "./enrolment-session.ts";
import {
  identityDisable,
  identityErase,
  identityGet,
  identityList,
  identityPut,
} from "./identity.ts";
import { updateAbort, updateApply, updateCheck, updateRollback, updateStatus } from "./update.ts";

export const COMMANDS: Readonly<Record<string, Command>> = {
  "identity/put": identityPut,
  "identity/get": identityGet,
  "identity/list": identityList,
  "identity/disable": identityDisable,
  "identity/erase": identityErase,
  "enrolment/add-image": enrolmentAddImage,
  "enrolment/start": enrolmentStart,
  "enrolment/cancel": enrolmentCancel,
  "gallery/stats": galleryStats,
  "event/replay": eventReplay,
  "device/status": deviceStatus,
  "camera/snapshot": cameraSnapshot,
  "update/status": updateStatus,
  "update/check": updateCheck,
  "update/apply": updateApply,
  "update/abort": updateAbort,
  "update/rollback": updateRollback,
};
