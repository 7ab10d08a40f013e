"""The hub: REST API, MQTT broker, store and scheduler in one process."""
