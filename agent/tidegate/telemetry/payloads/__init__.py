"""What is said over MQTT: one file for each kind of payload."""
