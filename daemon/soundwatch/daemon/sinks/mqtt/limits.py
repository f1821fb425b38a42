"""Limits of a broker, and what a connection does without because of them.

Source: docs.oasis-open.org/mqtt/mqtt/v5.0, sections 2.4 and 3.2.2.3.
Does not: connect (`sinks/mqtt/connection.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

FAILURE_CODE: Final = 128  # reason codes from here on are failures
BAD_VERSION_CODE: Final = 132
NO_RETAIN_CODE: Final = 154
NO_QOS_CODE: Final = 155
HEADER_BYTES: Final = 12  # of a publication, at most, without topic and payload


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """Features that a broker supports.

    Attributes:
        protocol: 5 or 3.1.1.
        retain: Whether the broker keeps messages.
        qos: Highest quality of service, 0 or 1.
        packet_bytes: Largest packet; None for any.
    """

    protocol: str = "5"
    retain: bool = True
    qos: int = 1
    packet_bytes: int | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of features that the broker does not support."""
        return (
            *(["MQTT 5"] if self.protocol != "5" else []),
            *(["retained messages"] if not self.retain else []),
            *(["QoS 1"] if not self.qos else []),
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that the broker does not accept.

    Attributes:
        topic: Topic of the message.
        reason: Cause.
        too_large: Whether the message is larger than the broker's limit, so that no later attempt succeeds.
    """

    topic: str
    reason: str
    too_large: bool = False


def limits_after_refusal(limits: BrokerLimits, code: int | None) -> BrokerLimits | None:
    """Return the limits of another attempt, after the broker has refused one; None for no other attempt.

    Args:
        limits: Limits of the refused attempt.
        code: Reason code; None where the broker hung up without one, as older brokers do on MQTT 5.
    """
    if limits.protocol == "5" and code in (None, BAD_VERSION_CODE):
        return replace(limits, protocol="3.1.1")
    if limits.retain and code == NO_RETAIN_CODE:
        return replace(limits, retain=False)
    if limits.qos and code == NO_QOS_CODE:
        return replace(limits, qos=0)
    return None


def limits_of_connack(limits: BrokerLimits, properties: Any) -> BrokerLimits:
    """Return the limits that the broker declares when it accepts a connection; of MQTT 3.1.1 there are none."""
    return replace(
        limits,
        retain=limits.retain and bool(getattr(properties, "RetainAvailable", 1)),
        qos=min(limits.qos, getattr(properties, "MaximumQoS", 1)),
        packet_bytes=getattr(properties, "MaximumPacketSize", None),
    )


def refusal_of_size(limits: BrokerLimits, topic: str, payload: bytes) -> Refusal | None:
    """Return the refusal of a message that is too large; None for a message that fits."""
    size_bytes = HEADER_BYTES + len(topic.encode()) + len(payload)
    if limits.packet_bytes is None or size_bytes <= limits.packet_bytes:
        return None
    reason = f"{size_bytes} bytes are more than the broker's limit of {limits.packet_bytes}"
    return Refusal(topic, reason, too_large=True)
