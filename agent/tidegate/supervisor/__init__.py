"""The first process: drivers, policy, MQTT and the worker's keeper. Never imports torch."""
