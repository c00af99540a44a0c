"""What the environment says. Nothing in here does anything."""
