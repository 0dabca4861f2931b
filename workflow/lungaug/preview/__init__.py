"""A first look at the data of a configuration: one private page, and nothing else is written."""
