"""MQTT: topics, link, spool."""
