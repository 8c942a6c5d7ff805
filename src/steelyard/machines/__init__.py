"""What this machine is, what a machine costs, and what speaks against measuring here and now."""
