"""Whether a set can be trusted: findings, duplicates, leaks, and the page that shows them."""
