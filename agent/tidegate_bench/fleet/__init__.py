"""Many agents on one machine: a broker that restarts, a push to all, rollouts that are halted or not."""
