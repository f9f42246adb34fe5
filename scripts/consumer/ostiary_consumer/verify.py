"""Is this message a decision that may be acted upon now?

The same rules in TypeScript are in `verify.ts`; `vectors.json` holds both to them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_RFC3339 = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,6})?Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What one door is told about one person.

    Attributes:
        device: `<site>/<device>`.
        identity: Who, when somebody was recognised.
        issued_at_ms: Milliseconds since 1970.
        expires_at_ms: Exclusive: nobody acts on it from here on.
    """

    id: str
    device: str
    door: str
    camera: str
    outcome: Literal["grant", "deny"]
    reason: str
    identity: str | None
    issued_at_ms: float
    expires_at_ms: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a message is not acted upon; `code` is stable."""

    code: str


class DecisionVerifier:
    """Accepts each decision of one device at most once, while it may be acted upon."""

    def __init__(
        self,
        *,
        device: str,
        public_key: str,
        started_at_ms: float,
        max_skew_ms: float = 2000,
        max_life_ms: float = 60_000,
        max_bytes: int = 16_384,
        max_ids: int = 10_000,
    ) -> None:
        """Pin a device.

        Args:
            device: `<site>/<device>` whose doors these are.
            public_key: Raw 32 bytes in base64: copied by hand from the device, never from the
                broker.
            started_at_ms: Now. What was issued before is refused: it may have been acted upon
                before this start, and the ids of that time are forgotten.
            max_skew_ms: How far the device's clock may run ahead of ours.
            max_life_ms: No honest decision lives longer.
            max_bytes: Longer messages are not looked at.
            max_ids: Ids remembered until they expire; beyond it nothing is believed.
        """
        raw = base64.b64decode(public_key, validate=True)
        if len(raw) != 32:
            raise ValueError(f"public_key must be 32 bytes in base64, not {len(raw)}")
        self._key = Ed25519PublicKey.from_public_bytes(raw)
        self._kid = hashlib.sha256(raw).hexdigest()[:16]
        self._device = device
        self._started_at_ms = started_at_ms
        self._max_skew_ms = max_skew_ms
        self._max_life_ms = max_life_ms
        self._max_bytes = max_bytes
        self._max_ids = max_ids
        self._seen: dict[str, float] = {}
        # Latest expiry of a forgotten id: up to it nothing is believed again, even if the clock is
        # set back.
        self._forgotten_up_to_ms = float("-inf")

    def check(self, message: bytes, *, retained: bool, now_ms: float) -> Decision | Refused:
        """Judge one message.

        Args:
            message: The MQTT payload.
            retained: The MQTT retain flag, subscribed with Retain As Published.
            now_ms: Milliseconds since 1970.
        """
        if len(message) > self._max_bytes:
            return Refused("too_large")
        envelope = _envelope_of(message)
        if envelope is None:
            return Refused("malformed")
        if retained:
            return Refused("retained")
        payload_text, kid, sig = envelope
        if kid != self._kid:
            return Refused("unknown_key")
        if not self._is_signed(payload_text, sig):
            return Refused("bad_signature")

        payload = _parse(payload_text)
        if not isinstance(payload, dict) or not _is_number(payload.get("schema"), 1):
            return Refused("malformed")
        if payload.get("kind") != "decision":
            return Refused("not_a_decision")
        if payload.get("device") != self._device:
            return Refused("misaddressed")
        decision = _decision_of(payload)
        if decision is None:
            return Refused("malformed")
        return self._untimely(decision, now_ms) or self._seen_before(decision, now_ms) or decision

    def _is_signed(self, payload: str, sig: str) -> bool:
        try:
            signature = base64.b64decode(sig, validate=True)
            if len(signature) != 64 or base64.b64encode(signature).decode("ascii") != sig:
                return False
            # A lone surrogate has no UTF-8 form: UnicodeEncodeError.
            self._key.verify(signature, payload.encode("utf-8"))
        except (binascii.Error, ValueError, InvalidSignature):
            return False
        return True

    def _untimely(self, decision: Decision, now_ms: float) -> Refused | None:
        life_ms = decision.expires_at_ms - decision.issued_at_ms
        if not 0 < life_ms <= self._max_life_ms:
            return Refused("too_long_lived")
        if (
            not now_ms < decision.expires_at_ms
            or decision.expires_at_ms <= self._forgotten_up_to_ms
        ):
            return Refused("expired")
        if decision.issued_at_ms > now_ms + self._max_skew_ms:
            return Refused("not_yet_valid")
        if decision.issued_at_ms <= self._started_at_ms + self._max_skew_ms:
            return Refused("before_start")
        return None

    def _seen_before(self, decision: Decision, now_ms: float) -> Refused | None:
        """Remember the id, or refuse it when it was seen or when no more can be remembered."""
        if decision.id in self._seen:
            return Refused("repeated")
        if len(self._seen) >= self._max_ids:
            expired = {id_: at for id_, at in self._seen.items() if at <= now_ms}
            for id_ in expired:
                del self._seen[id_]
            self._forgotten_up_to_ms = max(
                self._forgotten_up_to_ms, *expired.values(), float("-inf")
            )
        if len(self._seen) >= self._max_ids:
            return Refused("overloaded")
        self._seen[decision.id] = decision.expires_at_ms
        return None


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _envelope_of(message: bytes) -> tuple[str, str, str] | None:
    try:
        value = _parse(message.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    if not isinstance(value, dict) or set(value) != {"payload", "kid", "sig"}:
        return None
    payload, kid, sig = value["payload"], value["kid"], value["sig"]
    if not (isinstance(payload, str) and isinstance(kid, str) and isinstance(sig, str)):
        return None
    return payload, kid, sig


def _decision_of(payload: dict[str, Any]) -> Decision | None:
    texts = [payload.get(key) for key in ("id", "device", "door", "camera", "reason")]
    outcome, identity = payload.get("outcome"), payload.get("identity")
    if not all(isinstance(text, str) for text in texts) or payload["id"] == "":
        return None
    if outcome not in ("grant", "deny"):
        return None
    if not isinstance(identity, str) and (outcome == "grant" or "identity" in payload):
        return None
    issued_at_ms = _instant_of(payload.get("issuedAt"))
    expires_at_ms = _instant_of(payload.get("expiresAt"))
    if issued_at_ms is None or expires_at_ms is None:
        return None
    return Decision(
        id=payload["id"],
        device=payload["device"],
        door=payload["door"],
        camera=payload["camera"],
        outcome=outcome,
        reason=payload["reason"],
        identity=identity,
        issued_at_ms=issued_at_ms,
        expires_at_ms=expires_at_ms,
    )


def _instant_of(value: object) -> float | None:
    """RFC 3339 in UTC as milliseconds since 1970."""
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    try:
        whole = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    except ValueError:
        return None
    return whole.timestamp() * 1000 + (float(match[2]) * 1000 if match[2] else 0)


def _is_number(value: object, expected: int) -> bool:
    """`True == 1` in Python, not in JSON."""
    return not isinstance(value, bool) and value == expected
