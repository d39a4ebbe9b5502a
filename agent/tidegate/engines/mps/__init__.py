"""torch on Apple's GPU: the reference's operators on another device."""
