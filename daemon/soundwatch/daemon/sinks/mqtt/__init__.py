"""Events and states at an MQTT broker, for Home Assistant and for fleets."""
