"""Print one JSON line per decision that may be acted upon; replace `act`.

python -m ostiary_consumer --url mqtts://broker --device site/device --key BASE64
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

from ostiary_consumer.client import consumer
from ostiary_consumer.verify import Decision, DecisionVerifier, Refused


def act(decision: Decision) -> None:
    """Here the relay would close. A grant for another door is not ours: compare `decision.door`."""
    sys.stdout.write(json.dumps(dataclasses.asdict(decision)) + "\n")
    sys.stdout.flush()


def complain(refused: Refused) -> None:
    sys.stderr.write(f"refused: {refused.code}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="ostiary_consumer", description="a verifying consumer")
    parser.add_argument("--url", required=True, help="mqtts://host[:port]")
    parser.add_argument("--device", required=True, help="site/device")
    parser.add_argument("--key", required=True, help="the device's public key, base64")
    parser.add_argument("--ca", help="PEM of the broker's authority")
    parser.add_argument("--username")
    parser.add_argument("--password-file", type=Path)
    arguments = parser.parse_args()
    secret: Path | None = arguments.password_file
    password = None if secret is None else secret.read_text("utf-8").rstrip("\n")
    verifier = DecisionVerifier(
        device=arguments.device,
        public_key=arguments.key,
        started_at_ms=time.time() * 1000,
    )
    client = consumer(
        verifier,
        url=arguments.url,
        device=arguments.device,
        on_decision=act,
        on_refused=complain,
        ca_file=arguments.ca,
        username=arguments.username,
        password=password,
    )
    client.loop_forever()


if __name__ == "__main__":
    main()
