"""`tidegate bench control` and `decide`: what the controller gains and costs."""
