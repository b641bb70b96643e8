"""`nvrerank serve` under load."""
