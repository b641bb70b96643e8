"""What hosted scoring holds under faults, outages, cancellation and load."""
