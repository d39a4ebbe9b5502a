"""What is asked of whoever connects over TCP: a token, a certificate, or to be on this machine."""
