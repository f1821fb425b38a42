"""Events and states at an MQTT broker, for Home Assistant and for fleets.

Never: store lines; the journal has them until the broker confirms them.
"""
