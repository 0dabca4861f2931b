"""What a run would do and why, in words; and results from elsewhere brought in."""
