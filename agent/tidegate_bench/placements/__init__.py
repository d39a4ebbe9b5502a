"""Every engine of a device, on each of its compute units: one command for whoever has the device."""
