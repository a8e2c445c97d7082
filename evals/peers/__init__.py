"""What others would use instead, in a process and an environment of their own (requirements/peers.txt)."""
