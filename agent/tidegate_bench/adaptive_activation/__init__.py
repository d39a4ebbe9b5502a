"""`tidegate bench adaptive-activation`: the AdaptiveActivation paper's method."""
