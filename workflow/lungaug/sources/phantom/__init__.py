"""A cohort of synthetic chest CT, written as a hospital would hand it over."""
