"""What the line costs, measured beside a bare loop that does the same work."""
