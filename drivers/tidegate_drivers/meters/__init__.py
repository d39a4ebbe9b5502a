"""External power meters: a smart plug or a shunt that knows what the whole device draws."""
