"""Linux: sysfs, procfs, PSI."""
