"""`tidegate bench driver-faults` and `driver-cost`: what watching a device withstands and takes."""
