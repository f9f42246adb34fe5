"""The shared vectors, and what they cannot say."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from ostiary_consumer.verify import DecisionVerifier, Refused

PATH = Path(__file__).resolve().parents[1] / "vectors.json"
VECTORS: dict[str, Any] = json.loads(PATH.read_text("utf-8"))
CASES: dict[str, list[dict[str, Any]]] = {case["name"]: case["steps"] for case in VECTORS["cases"]}


def make(max_ids: int = 10_000) -> DecisionVerifier:
    options = VECTORS["options"]
    return DecisionVerifier(
        device=options["device"],
        public_key=options["publicKey"],
        started_at_ms=VECTORS["startedAtMs"],
        max_skew_ms=options["maxSkewMs"],
        max_life_ms=options["maxLifeMs"],
        max_bytes=options["maxBytes"],
        max_ids=max_ids,
    )


def say(verifier: DecisionVerifier, step: dict[str, Any]) -> str:
    message = step["message"].encode("utf-8")
    verdict = verifier.check(message, retained=step["retained"], now_ms=step["nowMs"])
    return verdict.code if isinstance(verdict, Refused) else verdict.outcome


@pytest.mark.parametrize("name", CASES)
def test_vector(name: str) -> None:
    verifier = make()
    for step in CASES[name]:
        assert say(verifier, step) == step["expect"]


def test_any_flipped_bit_is_refused() -> None:
    step = CASES["a valid grant"][0]
    message = step["message"].encode("utf-8")
    for bit in random.Random(1).sample(range(len(message) * 8), 1000):
        flipped = bytearray(message)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        verdict = make().check(bytes(flipped), retained=False, now_ms=step["nowMs"])
        assert isinstance(verdict, Refused), bit


def test_when_no_more_ids_can_be_remembered_nothing_is_believed() -> None:
    verifier = make(max_ids=1)
    assert say(verifier, CASES["a valid grant"][0]) == "grant"
    assert say(verifier, CASES["a valid denial"][0]) == "overloaded"


def test_a_clock_set_back_revives_no_forgotten_id() -> None:
    verifier = make(max_ids=1)
    assert say(verifier, CASES["a valid grant"][0]) == "grant"
    assert say(verifier, CASES["a decision of the next minute"][0]) == "deny"
    assert say(verifier, CASES["a valid grant"][0]) == "expired"
