"""From a user's torch module to a network, once, at calibration: devices never run the module's code."""
