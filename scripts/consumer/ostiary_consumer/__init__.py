"""A door that believes only what its device has signed."""

from ostiary_consumer.verify import Decision, DecisionVerifier, Refused

__all__ = ["Decision", "DecisionVerifier", "Refused"]
