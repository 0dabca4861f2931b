"""Speed and memory beside peers; ``make bench`` prints the table."""
