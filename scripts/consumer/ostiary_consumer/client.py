"""The subscription around the verifier (paho-mqtt 2)."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ostiary_consumer.verify import Decision, DecisionVerifier, Refused


def consumer(
    verifier: DecisionVerifier,
    *,
    url: str,
    device: str,
    on_decision: Callable[[Decision], None],
    on_refused: Callable[[Refused], None],
    ca_file: str | None = None,
    username: str | None = None,
    password: str | None = None,
    now_ms: Callable[[], float] = lambda: time.time() * 1000,
) -> mqtt.Client:
    """Connect to one device's live feed; run the result with `loop_forever` or `loop_start`.

    The session is clean: what was said while we were away is not for us. `on_decision` is called at
    most once per decision, grants and denials alike, and only while it may be acted upon.
    """
    address = urlsplit(url)
    if address.scheme not in ("mqtt", "mqtts") or address.hostname is None:
        raise ValueError("url must be mqtts://host[:port] or mqtt://host[:port]")
    topic = f"ostiary/v1/{device}/decision"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)

    def connected(client: mqtt.Client, *_rest: Any) -> None:
        how = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=2)
        client.subscribe(topic, options=how)

    def heard(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        verdict = verifier.check(bytes(message.payload), retained=message.retain, now_ms=now_ms())
        if isinstance(verdict, Refused):
            on_refused(verdict)
        else:
            on_decision(verdict)

    client.on_connect = connected
    client.on_message = heard
    if address.scheme == "mqtts":
        client.tls_set_context(ssl.create_default_context(cafile=ca_file))
    if username is not None:
        client.username_pw_set(username, password)
    properties = Properties(PacketTypes.CONNECT)
    properties.MaximumPacketSize = 65_536
    port = address.port or (8883 if address.scheme == "mqtts" else 1883)
    client.connect(address.hostname, port, keepalive=20, clean_start=True, properties=properties)
    return client
