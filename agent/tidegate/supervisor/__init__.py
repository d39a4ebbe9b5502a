"""The first process: drivers, policy, MQTT and the worker process. Never imports torch."""
