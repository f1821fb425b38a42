"""Many machines, one picture: gathers what daemons tell over MQTT, keeps it, and shows it (`soundwatch fleet`)."""
