"""An agent under load and disturbances for a while: what fails, what grows, what switches cost."""
