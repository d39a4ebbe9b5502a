"""What brokers, networks, disks, kills and strangers do to an agent, and what its spool costs."""
